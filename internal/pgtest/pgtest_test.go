package pgtest_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"faquan/internal/pgtest"
)

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func exec1(t *testing.T, conn *pgx.Conn, statement string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func ask(t *testing.T, conn *pgx.Conn, question string) string {
	t.Helper()
	var answer string
	if err := conn.QueryRow(t.Context(), question).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", question, err)
	}
	return answer
}

// TestDatabases: each has its own tables, and goes away with its test, also while a client is connected.
func TestDatabases(t *testing.T) {
	server := pgtest.Shared(t)
	var url string
	t.Run("one test", func(t *testing.T) {
		url = server.Database(t)
		exec1(t, connect(t, url), "CREATE TABLE kept (n int)")
		other := connect(t, server.Database(t))
		if got := ask(t, other, "SELECT coalesce(to_regclass('kept')::text, 'none')"); got != "none" {
			t.Errorf("another database has the table %s", got)
		}
	})
	if conn, err := pgx.Connect(t.Context(), url); err == nil {
		conn.Close(t.Context())
		t.Error("the database is still there after its test")
	}
	if got := pgtest.Shared(t); got != server {
		t.Error("a second shared server")
	}
}

// TestSettings: a server is what its test asks for, and by default one that keeps what it has committed.
func TestSettings(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.With("max_connections", "23"))
	conn := connect(t, server.URL("postgres"))
	for name, want := range map[string]string{
		"max_connections": "23", "fsync": "on", "synchronous_commit": "on", "autovacuum": "on", "server_encoding": "UTF8",
	} {
		if got := ask(t, conn, "SELECT current_setting('"+name+"')"); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if got := ask(t, connect(t, pgtest.Shared(t).URL("postgres")), "SHOW fsync"); got != "off" {
		t.Errorf("fsync of the shared server is %s", got)
	}
}

// TestKill: after kill -9 nothing runs, and what was committed is there when the server has started again, what was
// not is not.
func TestKill(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	url := server.Database(t)
	conn := connect(t, url)
	exec1(t, conn, "CREATE TABLE kept (n int)")
	exec1(t, conn, "INSERT INTO kept VALUES (1)")
	exec1(t, conn, "BEGIN")
	exec1(t, conn, "INSERT INTO kept VALUES (2)")
	pid, port := server.PID(), server.Port()

	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "COMMIT"); err == nil {
		t.Error("a killed server commits")
	}
	if left := processesIn(server.Dir()); len(left) > 0 {
		t.Errorf("still there after kill -9: %v", left)
	}
	server.StartAgain(t)
	if server.PID() == pid || server.Port() != port {
		t.Errorf("process %d on port %d after process %d on port %d", server.PID(), server.Port(), pid, port)
	}
	if got := ask(t, connect(t, url), "SELECT array_agg(n)::text FROM kept"); got != "{1}" {
		t.Errorf("rows after the crash: %s", got)
	}
}

// TestClose: nothing is left, neither a process nor a file.
func TestClose(t *testing.T) {
	t.Parallel()
	server, err := pgtest.Open(pgtest.NoSync())
	if err != nil {
		t.Fatal(err)
	}
	memory := sharedMemory(t, server.Dir())
	if len(processesIn(server.Dir())) < 2 || !exists(memory) {
		t.Fatal("nothing of a server that runs: this test sees nothing")
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if left := leftOf(server.Dir(), memory); left != "" {
		t.Error(left)
	}
}

// TestKilledTest: a test process that is killed leaves nothing either. The test is its own victim, in a process of
// its own.
func TestKilledTest(t *testing.T) {
	t.Parallel()
	const victim = "FAQUAN_PGTEST_VICTIM"
	if os.Getenv(victim) != "" {
		server := pgtest.Shared(t)
		os.Stdout.WriteString("server " + server.Dir() + " " + sharedMemory(t, server.Dir()) + "\n")
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledTest$")
	cmd.Env = append(os.Environ(), victim+"=yes")
	out, err := cmd.Output()
	var dir, memory string
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "server" {
			dir, memory = f[1], f[2]
		}
	}
	if dir == "" || err == nil {
		t.Fatalf("the victim was not killed beside its server: %v\n%s", err, out)
	}
	for range 400 {
		if _, err := os.Stat(dir); err != nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	// All was ended before the directory went. A server that was not ends by itself when it misses its directory, a
	// minute after its start: this must be earlier.
	left := ""
	for range 100 {
		if left = leftOf(dir, memory); left == "" {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error(left)
}

// leftOf names what a server has left behind.
func leftOf(dir, memory string) string {
	if left := processesIn(dir); len(left) > 0 {
		return "processes " + strings.Join(left, " ")
	}
	if _, err := os.Stat(dir); err == nil {
		return "the directory " + dir
	}
	if exists(memory) {
		return "the shared memory " + memory
	}
	return ""
}

// sharedMemory returns the id of a server's segment of System V shared memory.
func sharedMemory(t *testing.T, dir string) string {
	t.Helper()
	pidFile, err := os.ReadFile(dir + "/postmaster.pid")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(pidFile), "\n")
	if len(lines) < 7 || len(strings.Fields(lines[6])) != 2 {
		t.Fatalf("no segment in postmaster.pid:\n%s", pidFile)
	}
	return strings.Fields(lines[6])[1]
}

func exists(memory string) bool {
	list, _ := os.ReadFile("/proc/sysvipc/shm")
	for line := range strings.Lines(string(list)) {
		if f := strings.Fields(line); len(f) > 1 && f[1] == memory {
			return true
		}
	}
	return false
}

// processesIn asks the kernel which processes work in a directory, without the help of the code under test.
func processesIn(dir string) []string {
	entries, _ := os.ReadDir("/proc")
	var found []string
	for _, e := range entries {
		if cwd, err := os.Readlink("/proc/" + e.Name() + "/cwd"); err == nil && strings.TrimSuffix(cwd, " (deleted)") == dir {
			found = append(found, e.Name())
		}
	}
	return found
}
