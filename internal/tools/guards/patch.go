package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// A patch in testdata/guards takes a guard out that one statement cannot express. Its first lines say what it takes
// away, and which test must fail then:
//
//	# guard: a frozen user receives nothing
//	# test: ./internal/benefit -run TestEachReasonAlone
const patchDir = "testdata/guards"

var (
	patchTest = regexp.MustCompile(`(?m)^# test: \./(\S+) -run (\S+)(.*)$`)
	patchFile = regexp.MustCompile(`(?m)^--- a/(\S+)`)
)

func readPatches(root string) (guards []*guard, err error) {
	paths, err := filepath.Glob(filepath.Join(root, patchDir, "*.patch"))
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(filepath.Base(path), ".patch")
		test, files := patchTest.FindStringSubmatch(string(text)), patchFile.FindAllStringSubmatch(string(text), -1)
		if test == nil || len(files) == 0 {
			return nil, fmt.Errorf("%s/%s.patch names no test or no file", patchDir, name)
		}
		guards = append(guards, &guard{
			name: name, file: files[0][1], pkg: test[1], run: test[2], flags: strings.Fields(test[3]),
			patch: func() (mutant, error) { return patched(root, path, files) },
		})
	}
	return guards, nil
}

// patched applies a patch to copies of its files.
func patched(root, patch string, files [][]string) (mutant, error) {
	dir, err := os.MkdirTemp("", "guards-patch-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) // what is left is in the temporary folder
	for _, file := range files {
		if err := copyFile(filepath.Join(dir, file[1]), filepath.Join(root, file[1])); err != nil {
			return nil, err
		}
	}
	apply := exec.Command("git", "apply", "-C1", patch)
	apply.Dir = dir
	apply.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
	if out, err := apply.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("the patch no longer applies\n%s", indent(string(out)))
	}
	m := mutant{}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(dir, file[1]))
		if err != nil {
			return nil, err
		}
		m[file[1]] = string(text)
	}
	return m, nil
}

func copyFile(to, from string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o600)
}
