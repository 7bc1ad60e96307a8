package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"faquan/internal/pgtest"
)

// TestMain lets the test binary be the program, for scripts and for the processes that a benchmark starts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"bench": main})
}

// TestScripts runs testdata/script/*.txtar. "database NAME" makes an empty PostgreSQL database, whose URL is $NAME.
func TestScripts(t *testing.T) {
	faquan := filepath.Join(t.TempDir(), "faquan")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", faquan, "faquan/cmd/faquan").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("FAQUAN", faquan)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"database": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Setenv(args[0], pgtest.Start(t).Database(t))
			},
		},
	})
}

// Every command explains itself and shows how it is called.
func TestHelp(t *testing.T) {
	root := newRoot()
	for _, cmd := range append([]*cobra.Command{root}, root.Commands()...) {
		if len(cmd.Long) <= len(cmd.Short) || cmd.Short == "" || !strings.Contains(cmd.Example, "go run ./bench") {
			t.Errorf("%s: no help, or no example", cmd.Name())
		}
		for _, line := range strings.Split(cmd.Long, "\n") {
			if len([]rune(line)) > 120 {
				t.Errorf("%s: a line of the help is wider than a terminal: %s", cmd.Name(), line)
			}
		}
	}
}

// TestGoBuild reports why a package cannot be built.
func TestGoBuild(t *testing.T) {
	err := goBuild(t.Context(), t.TempDir(), os.DevNull, "faquan/cmd/faquan")
	if err == nil || !strings.Contains(err.Error(), "building faquan/cmd/faquan in ") {
		t.Errorf("outside a checkout: %v", err)
	}
}

func TestResult(t *testing.T) {
	var out strings.Builder
	newResult("engine").text("store", "embedded").number("issues_per_second", 84012.37).number("unseen", 0).
		number("issues_of_"+slug("naive-onetrip"), 6.20049).print(&out)
	if want := "benchmark=engine store=embedded issues_per_second=84010 issues_of_naive_onetrip=6.2\n"; out.String() != want {
		t.Errorf("got %q, want %q", &out, want)
	}
}
