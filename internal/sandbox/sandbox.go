// Package sandbox runs the servers that tests and benchmarks need, privately, and takes all of it away again.
//
// A [Box] is a temporary directory and an account. Servers are started with [Box.Command]: in that directory, and,
// when the tests run as root, under another account, because PostgreSQL refuses to be run by root. What belongs to a
// box is whatever has its working directory inside the box: a server, the children of that server, and theirs. PostgreSQL
// gives every child a process group of its own and changes its command line and environment, so nothing
// else would find them all.
//
// A box is taken away by [Box.Close], and also when the process that made it ends in any other way, by a panic, a
// time-out or kill -9: a small shell of its own session, the reaper, waits for the end of a pipe that only that process
// holds open. So nothing is left, neither a process nor a file, and no test needs a TestMain for that.
//
// Processes are found in /proc. Where there is none, a box finds no process, and a caller has to stop what
// it has started.
package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// reaperScript removes a box when its pipe ends, and first ends what runs in it, unless the pipe holds the word killed:
// then nothing does. A first pass may meet a process that is just making another, and a file that is just being written,
// so it does not stop at one. A server that was killed has left a small segment of System V shared memory behind, of which the
// system has only so many: its id is the second number in line 7 of postmaster.pid.
//
//guard:internal/pgtest.TestClose "ipcrm -m" -> ":"
//guard:internal/pgtest.TestKilledTest "kill -9" -> ":"
const reaperScript = `
read -r word
for turn in 1 2 3 4 5 6 7 8 9 10; do
	[ "$word" = killed ] || for p in /proc/[0-9]*; do
		case $(readlink "$p/cwd" 2>/dev/null) in
		"$1" | "$1"/*) kill -9 "${p#/proc/}" 2>/dev/null ;;
		esac
	done
	find "$1" -name postmaster.pid -exec sed -n 7p {} \; 2>/dev/null |
		while read -r key segment; do ipcrm -m "$segment" 2>/dev/null; done
	rm -rf "$1" 2>/dev/null && [ ! -e "$1" ] && exit 0
	sleep 0.2
done
exit 1`

// Box is a directory with the processes that run in it. Its methods may be used by several goroutines.
type Box struct {
	dir     string
	account *syscall.Credential // nil: our own
	reaper  *exec.Cmd
	word    io.WriteCloser
}

// New makes a box whose directory has name in its name.
func New(name string) (*Box, error) {
	b := &Box{}
	parent := os.TempDir()
	if os.Getuid() == 0 {
		var err error
		if b.account, err = serverAccount(); err != nil {
			return nil, err
		}
		if parent, err = searchable(parent, "/tmp", "/var/tmp"); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp(parent, "faquan-"+name+"-")
	if err != nil {
		return nil, err
	}
	// Working directories are compared with it, and those have no symbolic links.
	if b.dir, err = filepath.EvalSymlinks(dir); err == nil {
		err = b.own(b.dir)
	}
	if err == nil {
		err = b.watch()
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return b, nil
}

// Dir returns the directory of the box.
func (b *Box) Dir() string { return b.dir }

// Account returns the name of the account under which the programs of the box run: also that of the superuser of a
// server that was initialised without another name.
func (b *Box) Account() (string, error) {
	uid := os.Getuid()
	if b.account != nil {
		uid = int(b.account.Uid)
	}
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return "", err
	}
	return u.Username, nil
}

// Mkdir makes a directory inside the box that only its account can read, and returns its path.
func (b *Box) Mkdir(name string) (string, error) {
	dir := filepath.Join(b.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	return dir, b.own(dir)
}

// WriteFile writes a file inside the box, and the directories above it, for its account.
func (b *Box) WriteFile(name string, content []byte) error {
	path := filepath.Join(b.dir, name)
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, content, 0o600)
	}
	for ; err == nil && path != b.dir; path = filepath.Dir(path) {
		err = b.own(path)
	}
	return err
}

// Command prepares a program to run inside the box: under its account, in its directory and in a session of its own, so
// that an interrupt at the terminal is for the test alone. It has no variable of our environment but PATH, so that a
// PGHOST in the caller's environment does not affect it.
func (b *Box) Command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = b.dir
	cmd.Env = []string{
		"PATH=" + filepath.Dir(program) + ":" + os.Getenv("PATH"),
		"HOME=" + b.dir, "TMPDIR=" + b.dir, "LC_ALL=C.UTF-8", "TZ=UTC",
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: b.account, Setsid: true}
	return cmd
}

// Run runs a program inside the box to its end. Its error holds the output of the program.
func (b *Box) Run(program string, args ...string) error {
	if out, err := b.Command(program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
	return nil
}

// Processes returns the ids of what runs inside a directory of the box, without what has ended and waits to be
// collected.
func (b *Box) Processes(dir string) []int {
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	var pids []int
	for _, link := range links {
		cwd, err := os.Readlink(link)
		if err != nil || cwd != dir && !strings.HasPrefix(cwd, dir+"/") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Kill ends everything that runs inside a directory of the box with SIGKILL and returns when it is gone.
func (b *Box) Kill(dir string) error {
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		pids := b.Processes(dir)
		if len(pids) == 0 {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("processes %v outlive SIGKILL", pids)
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// Close ends everything inside the box and removes it.
func (b *Box) Close() error {
	word := "killed\n"
	err := b.Kill(b.dir)
	if err != nil {
		word = "\n" // it tries again
	}
	_, werr := io.WriteString(b.word, word)
	err = errors.Join(err, werr, b.word.Close())
	if reaped := b.reaper.Wait(); reaped != nil {
		// Its account may not be allowed to remove the directory from the one above.
		err = errors.Join(err, os.RemoveAll(b.dir))
	}
	return err
}

// watch starts the reaper. It works outside the box, else it would end itself.
func (b *Box) watch() error {
	b.reaper = b.Command("/bin/sh", "-c", reaperScript, "faquan-reaper", b.dir)
	b.reaper.Dir = "/"
	var err error
	if b.word, err = b.reaper.StdinPipe(); err != nil {
		return err
	}
	return b.reaper.Start()
}

func (b *Box) own(path string) error {
	if b.account == nil {
		return nil
	}
	return os.Chown(path, int(b.account.Uid), int(b.account.Gid))
}

// serverAccount returns the account under which root runs a server: that of the distribution's package, else nobody.
func serverAccount() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither an account postgres nor nobody")
}

// searchable returns the first of the directories that another account can reach.
func searchable(dirs ...string) (string, error) {
	if k := slices.IndexFunc(dirs, reachable); k >= 0 {
		return dirs[k], nil
	}
	return "", fmt.Errorf("none of %v can be reached by another account", dirs)
}

func reachable(dir string) bool {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
		dir = filepath.Dir(dir)
	}
}
