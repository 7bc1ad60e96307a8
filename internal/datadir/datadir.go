//go:build unix

// Package datadir finds the files of a data directory, and checks whether other users could change them.
//
//	dir, err := datadir.Find("/data")      // /data, or /data/faquan on a volume that others can write to
//	warning, err := datadir.Check(dir)
//
// Who can write to the directory can replace the key file, the journal and the socket, and who owns it can let others.
// Container platforms make volumes whose root everybody can write to, or belongs to root with a group that can write;
// there faquan keeps its files in a directory of its own.
package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Private is the name of the directory in a volume that holds the files when the volume is not private.
const Private = "faquan"

// held are the files that show that a directory is in use.
var held = []string{"journal", "secret.key"}

// ErrExposed is wrapped when other users could change what is in a data directory.
var ErrExposed = errors.New("the data directory is not private")

// Find returns the directory that holds the files of a data directory: dir itself, or dir/faquan if the files are
// there, or if there are none yet and dir is the root of a mounted volume that is not private. It makes nothing.
func Find(dir string) (string, error) {
	self := os.Geteuid()
	f, err := look(dir, self)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return dir, nil
	case err != nil:
		return "", err
	}
	sub := filepath.Join(dir, Private)
	inDir, inSub := holds(dir, f.counts(self)), holds(sub, f.counts(self))
	switch {
	case inDir && inSub:
		return "", fmt.Errorf("%s and %s both hold faquan files; move away those that are not in use", dir, sub)
	case inSub, !inDir && f.mount && f.exposed(self) != nil:
		return sub, nil
	}
	return dir, nil
}

// holds reports whether a directory holds files of faquan that belong to users who count.
func holds(dir string, counts func(uid int) bool) bool {
	for _, name := range held {
		//guard:TestFilesOfOthers without counts(Owner(info))
		if info, err := os.Lstat(filepath.Join(dir, name)); err == nil && counts(Owner(info)) {
			return true
		}
	}
	return false
}

// Check returns an error that wraps ErrExposed when other users could change what is in a directory that Find returned,
// and a warning when they can read it. A directory that does not exist is good: it will be made with mode 0700.
func Check(dir string) (warning string, err error) {
	self := os.Geteuid()
	f, err := look(dir, self)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	}
	return f.judge(self)
}

// Tighten gives the files of the journal, the view and the refusals mode 0600 where an earlier version, or a copy, left them open
// to other users. It returns the names of those it changed. The key file is not among them: anyone who could read it
// must be asked about, see package seal.
func Tighten(dir string) (changed []string, err error) {
	for _, part := range []string{"", "journal", "rebuild", "refusals/1"} { // a data directory has one process
		entries, readErr := os.ReadDir(filepath.Join(dir, part))
		if readErr != nil && !errors.Is(readErr, fs.ErrNotExist) {
			err = errors.Join(err, readErr)
		}
		for _, e := range entries {
			name := filepath.Join(part, e.Name())
			if part == "" && name != "LOCK" && !strings.HasPrefix(name, "view.db") {
				continue // not of faquan, perhaps
			}
			info, infoErr := e.Info()
			if infoErr != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 == 0 { //guard:TestTighten 0o077 -> 0o022
				continue // it is gone, or good
			}
			if chmodErr := os.Chmod(filepath.Join(dir, name), 0o600); chmodErr != nil {
				err = errors.Join(err, chmodErr)
				continue
			}
			changed = append(changed, name)
		}
	}
	return changed, err
}

// facts are the properties of a directory that Check judges.
type facts struct {
	dir      string
	owner    int
	link     int // the owner of the symbolic link that leads to it; its own where there is none
	mode     fs.FileMode
	mount    bool // it is the root of a mounted file system
	readOnly bool // the mount is read-only
	holds    bool // it holds files of faquan that this user or root made
}

func look(dir string, self int) (facts, error) {
	dir = filepath.Clean(dir)
	link, err := os.Lstat(dir)
	if err != nil {
		return facts{}, err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return facts{}, err
	}
	if !info.IsDir() {
		return facts{}, &fs.PathError{Op: "data directory", Path: dir, Err: syscall.ENOTDIR}
	}
	parent, err := os.Stat(dir + "/..") // not filepath.Join, which would take the parent of a link
	if err != nil {
		return facts{}, err
	}
	return facts{
		dir: dir, owner: Owner(info), link: Owner(link), mode: info.Mode(),
		mount: device(info) != device(parent) || os.SameFile(info, parent), readOnly: readOnly(dir),
		holds: holds(dir, func(uid int) bool { return Trusted(uid, self) }),
	}, nil
}

// Owner returns the user that a file belongs to.
func Owner(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }

func device(info fs.FileInfo) uint64 { return uint64(info.Sys().(*syscall.Stat_t).Dev) }

// Trusted reports whether a user may change what a process of self works with: the user itself, and root.
func Trusted(uid, self int) bool { return uid == self || uid == 0 }

// counts returns whose files show that the directory, or the private one in it, is in use. Where others can write to the
// directory, they can make files with those names: these must not decide where a store is.
func (f *facts) counts(self int) func(uid int) bool {
	return func(uid int) bool { return f.mode.Perm()&0o022 == 0 || uid == f.owner || Trusted(uid, self) }
}

// exposed returns an error when other users could change what is in the directory.
func (f *facts) exposed(self int) error {
	switch {
	case f.readOnly:
		return nil
	case !Trusted(f.owner, self):
		return fmt.Errorf("%w: %s belongs to user %d, and this process runs as user %d; run it as that user, or chown the directory",
			ErrExposed, f.dir, f.owner, self)
	case !Trusted(f.link, self):
		return fmt.Errorf("%w: the symbolic link %s belongs to user %d, and this process runs as user %d; name the directory itself, or chown -h the link",
			ErrExposed, f.dir, f.link, self)
	case f.mode.Perm()&0o022 != 0:
		return fmt.Errorf("%w: other users can write to %s (mode %#o); find out who did, then chmod 700", ErrExposed, f.dir, f.mode.Perm())
	}
	return nil
}

func (f *facts) judge(self int) (warning string, err error) {
	err = f.exposed(self)
	switch {
	case err != nil && f.mount && f.holds: // of an earlier version, on a volume that only its platform can make private
		return fmt.Sprintf("%v; stop faquan and move everything in it to %s with mode 0700", err, filepath.Join(f.dir, Private)), nil
	case err != nil:
		return "", err
	case f.mode.Perm()&0o055 != 0:
		return fmt.Sprintf("other users can read %s (mode %#o); chmod 700", f.dir, f.mode.Perm()), nil
	}
	return "", nil
}
