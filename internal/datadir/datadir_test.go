package datadir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	const self = 1000
	tests := map[string]struct {
		facts   facts
		exposed bool
		warning string
	}{
		"private":                          {facts{owner: self, link: self, mode: 0o700}, false, ""},
		"root's":                           {facts{owner: 0, link: 0, mode: 0o700}, false, ""},
		"readable":                         {facts{owner: self, link: self, mode: 0o755}, false, "can read"},
		"readable by the group":            {facts{owner: self, link: self, mode: 0o750}, false, "can read"},
		"writable":                         {facts{owner: self, link: self, mode: 0o777}, true, ""},
		"writable and sticky":              {facts{owner: self, link: self, mode: 0o777 | fs.ModeSticky}, true, ""},
		"writable by the group":            {facts{owner: self, link: self, mode: 0o770}, true, ""},
		"of another user":                  {facts{owner: 1001, link: self, mode: 0o700}, true, ""},
		"behind a link of another user":    {facts{owner: self, link: 1001, mode: 0o700}, true, ""},
		"writable on a mount root":         {facts{owner: 0, link: 0, mode: 0o777, mount: true}, true, ""},
		"the same with a store":            {facts{owner: 0, link: 0, mode: 0o777, mount: true, holds: true}, false, "move everything"},
		"writable, with a store":           {facts{owner: self, link: self, mode: 0o777, holds: true}, true, ""},
		"writable, on a read-only volume":  {facts{owner: 0, link: 0, mode: 0o777, mount: true, readOnly: true}, false, "can read"},
		"of another user, with everything": {facts{owner: 1001, link: 1001, mode: 0o777, holds: true}, true, ""},
	}
	for name, test := range tests {
		warning, err := test.facts.judge(self)
		if errors.Is(err, ErrExposed) != test.exposed || !test.exposed && err != nil {
			t.Errorf("%s: error %v", name, err)
		}
		if !strings.Contains(warning, test.warning) || test.warning == "" && warning != "" {
			t.Errorf("%s: warning %q, want %q", name, warning, test.warning)
		}
	}
	for want, f := range map[string]facts{
		": /data belongs to user 1001":                  {dir: "/data", owner: 1001, link: 2000},
		": /data belongs to user 1002":                  {dir: "/data", owner: 1002, link: self},
		": the symbolic link /data belongs to user 999": {dir: "/data", owner: self, link: 999},
	} {
		if _, err := f.judge(self); !errors.Is(err, ErrExposed) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", f, err, want)
		}
	}
	if _, err := (&facts{owner: 1000, mode: 0o700}).judge(0); !errors.Is(err, ErrExposed) {
		t.Errorf("root in a directory of another user: %v", err)
	}
}

func TestCheck(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	if warning, err := Check(dir); warning != "" || err != nil {
		t.Errorf("a directory that does not exist: %q, %v", warning, err)
	}
	for mode, exposed := range map[fs.FileMode]bool{0o700: false, 0o755: false, 0o777: true, 0o770: true, 0o702: true} {
		mustMake(t, dir, mode)
		if _, err := Check(dir); errors.Is(err, ErrExposed) != exposed || !exposed && err != nil {
			t.Errorf("mode %o: %v", mode, err)
		}
		if got, err := Find(dir); got != dir || err != nil {
			t.Errorf("mode %o: Find gave %q, %v", mode, got, err)
		}
	}
	if os.Geteuid() == 0 {
		mustMake(t, dir, 0o700)
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		if _, err := Check(dir); !errors.Is(err, ErrExposed) {
			t.Errorf("a directory of another user: %v", err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Check(file); err == nil {
		t.Error("a file is a data directory")
	}
}

// What is there is found where it is, whatever the modes are by now.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	sub := filepath.Join(dir, Private)
	want := func(what, want string) {
		t.Helper()
		got, err := Find(dir)
		if (err != nil) != (want == "") || got != want {
			t.Errorf("%s: Find gave %q, %v; want %q", what, got, err, want)
		}
		if again, err := Find(got); want != "" && (again != got || err != nil) {
			t.Errorf("%s: Find of what it found gave %q, %v", what, again, err)
		}
	}
	want("empty", dir)
	mustMake(t, filepath.Join(sub, "journal"), 0o700)
	want("a store in the private directory", sub)
	if err := os.WriteFile(filepath.Join(dir, "secret.key"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want("files in both", "")
	if err := os.RemoveAll(sub); err != nil {
		t.Fatal(err)
	}
	want("a key file in the directory", dir)
}

// What others make under the names of faquan's files does not count where they can.
func TestFilesOfOthers(t *testing.T) {
	const self, owner, other = 1000, 1001, 1002
	for _, test := range []struct {
		self, uid int
		mode      fs.FileMode
		want      bool
	}{
		{self, self, 0o777, true}, {self, 0, 0o777, true}, {self, other, 0o777, false}, {self, other, 0o770, false},
		{self, other, 0o755, true}, // a user of a command, who is refused later
		{0, owner, 0o777, true}, {0, other, 0o777, false}, {0, other, 0o700, true},
	} {
		if got := (&facts{owner: owner, mode: test.mode}).counts(test.self)(test.uid); got != test.want {
			t.Errorf("%+v: %t", test, got)
		}
	}
	dir := t.TempDir()
	mustMake(t, filepath.Join(dir, "journal"), 0o700)
	mustMake(t, dir, 0o777)
	if holds(dir, func(int) bool { return false }) || !holds(dir, func(uid int) bool { return uid == os.Geteuid() }) {
		t.Error("the owner of a file is not asked for")
	}
	if os.Geteuid() != 0 {
		return
	}
	mustMake(t, filepath.Join(dir, Private, "journal"), 0o700)
	if err := os.Chown(filepath.Join(dir, "journal"), 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if f, err := look(dir, 0); err != nil || f.holds {
		t.Errorf("a journal of another user counts: %+v, %v", f, err)
	}
	if got, err := Find(dir); got != filepath.Join(dir, Private) || err != nil {
		t.Errorf("Find gave %q, %v", got, err)
	}
}

// On the root of a volume that everybody can write to a new store gets a directory of its own. /dev/shm is such a root.
func TestFindOnMount(t *testing.T) {
	const root = "/dev/shm"
	self := os.Geteuid()
	f, err := look(root, self)
	if err != nil || !f.mount || f.exposed(self) == nil || f.holds || holds(filepath.Join(root, Private), f.counts(self)) {
		t.Logf("%s is no empty volume that everybody can write to: %+v, %v", root, f, err)
		f = facts{mount: true, mode: 0o777}
		if f.exposed(0) == nil {
			t.Error("such a volume counts as private")
		}
		return
	}
	if got, err := Find(root); got != filepath.Join(root, Private) || err != nil {
		t.Errorf("Find gave %q, %v", got, err)
	}
	if f, err := look(t.TempDir(), self); err != nil || f.mount {
		t.Errorf("a directory in a directory counts as a mount root: %+v, %v", f, err)
	}
}

func mustMake(t *testing.T, dir string, mode fs.FileMode) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.Chmod(dir, mode)); err != nil {
		t.Fatal(err)
	}
}

// Files of the journal and the view become private. Others are not touched, and neither is what a link leads to.
func TestTighten(t *testing.T) {
	dir := t.TempDir()
	mustMake(t, filepath.Join(dir, "journal"), 0o755)
	mustMake(t, filepath.Join(dir, "refusals"), 0o700)
	mustMake(t, filepath.Join(dir, "refusals/1"), 0o700)
	outside := filepath.Join(t.TempDir(), "outside")
	for name, mode := range map[string]fs.FileMode{
		"view.db": 0o644, "view.db-wal": 0o640, "LOCK": 0o600, "journal/00000001.seg": 0o604, "refusals/1/0000000000000001.seg": 0o644,
		"secret.key": 0o644, "catalog.yaml": 0o644, outside: 0o644,
	} {
		path := filepath.Join(dir, name)
		if filepath.IsAbs(name) {
			path = name
		}
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, "view.db-mark")); err != nil {
		t.Fatal(err)
	}
	changed, err := Tighten(dir)
	want := []string{"view.db", "view.db-wal", "journal/00000001.seg", "refusals/1/0000000000000001.seg"}
	if err != nil || !slices.Equal(changed, want) {
		t.Errorf("changed %q, %v; want %q", changed, err, want)
	}
	for name, mode := range map[string]fs.FileMode{
		"view.db": 0o600, "view.db-wal": 0o600, "journal/00000001.seg": 0o600, "secret.key": 0o644, "catalog.yaml": 0o644, "view.db-mark": 0o644,
	} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, %v", name, info.Mode().Perm(), err)
		}
	}
	if again, err := Tighten(dir); err != nil || len(again) > 0 {
		t.Errorf("the second time it changed %q, %v", again, err)
	}
}
