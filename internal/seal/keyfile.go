package seal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// KeyFile is the name of the key file in a data directory.
const KeyFile = "secret.key"

// The reasons for which a key file is refused.
var (
	// ErrNoKey is returned when the file is missing although sealed values exist. A new key would open none of them.
	ErrNoKey = errors.New("the key file is missing, and the store holds secrets sealed under it; restore it from a backup")
	// ErrExposed is returned when users other than the owner may read or write the file.
	ErrExposed = errors.New("other users can read the key file; make it private (chmod 600), and consider the secrets known to them")
	// ErrMalformed is returned when the file does not have 32 bytes, or is not a regular file.
	ErrMalformed = errors.New("not a key file, which is a regular file of exactly 32 bytes; restore it from a backup")
)

// OpenKeyFile opens the key file of a data directory. When there is none it makes one from the random source
// (crypto/rand's Reader outside tests), durable before it returns. It makes none when sealedExist reports that the
// store holds sealed values already, because then the right key is somewhere else. Errors wrap ErrNoKey, ErrExposed or
// ErrMalformed, or come from the file system.
func OpenKeyFile(dir string, sealedExist bool, random io.Reader) (*Box, error) {
	path := filepath.Join(dir, KeyFile)
	key, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if sealedExist {
			return nil, fmt.Errorf("%s: %w", path, ErrNoKey)
		}
		key, err = makeKey(dir, path, random)
	}
	if err != nil {
		return nil, err
	}
	return New(key)
}

func readKey(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat() // of the open file, so that the file cannot be replaced in between
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() != KeySize {
		return nil, fmt.Errorf("%s: %w", path, ErrMalformed)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s (mode %#o): %w", path, info.Mode().Perm(), ErrExposed)
	}
	key := make([]byte, KeySize)
	_, err = io.ReadFull(file, key)
	return key, err
}

// makeKey writes the key to a temporary file and links it to its name, so that a crash never leaves half a key. When
// several processes start at once, all of them use the key of the first: a key that is in use is never replaced.
func makeKey(dir, path string, random io.Reader) ([]byte, error) {
	key := make([]byte, KeySize)
	if _, err := io.ReadFull(random, key); err != nil {
		return nil, fmt.Errorf("reading random bytes for %s: %w", path, err)
	}
	temp, err := os.CreateTemp(dir, KeyFile+".*") // made with mode 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(key)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return nil, err
	}
	err = os.Link(temp.Name(), path) //guard:TestKeyFileIsMadeByOne os.Link -> os.Rename
	if errors.Is(err, fs.ErrExist) {
		return readKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot create the key file: %w", err)
	}
	return key, syncDir(dir)
}

// syncDir makes the entries of a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
