package sandbox

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
)

// Program finds a program: in PATH, else that of the newest PostgreSQL where Debian installs them, which is not in
// PATH. The error names the package to install.
func Program(name, debianPackage string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return filepath.Abs(path)
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) == 0 {
		return "", fmt.Errorf("the program %s is needed: apt-get install -y --no-install-recommends %s (or scripts/test, which installs it)",
			name, debianPackage)
	}
	return slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) }), nil
}

// Postgres returns the directory with the programs of a PostgreSQL server. It follows links, because what stands in
// PATH may be a link to one program, without the others beside it.
func Postgres() (dir string, err error) {
	path, err := Program("postgres", "postgresql")
	if err != nil {
		return "", err
	}
	path, err = filepath.EvalSymlinks(path)
	return filepath.Dir(path), err
}

// version returns the 15 of /usr/lib/postgresql/15/bin/postgres.
func version(path string) int {
	v, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	return v
}

// Ports are below those that Linux gives to outgoing connections and to listeners that ask for any: a server that is
// down for a moment finds its port free when it comes back.
const (
	firstPort = 15_000
	lastPort  = 32_000
)

// Port returns a TCP port that nothing on loopback listens on. Another process may be faster to take it: whoever starts
// a server with it tries another when the server ends at once.
func Port() (int, error) {
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		return port, l.Close()
	}
	return 0, errors.New("no free port on 127.0.0.1")
}
