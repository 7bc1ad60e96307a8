package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"faquan/internal/docpages"
	"faquan/internal/pgtest"
)

// What a page of the documentation shows is run as it is written, from its first block to its last, as a reader would:
//
//   - sh is run by bash, in a directory that the page has for itself. What `cd` and `export` say holds for the later blocks.
//   - A block that ends with `serve` or `demo` keeps running, in a terminal of its own, to the next heading of the first or
//     second level. Then it is interrupted, as by Ctrl-C, and must end well.
//   - Its exit code is 0, or the one in the comment <!-- exit code 1 --> before it.
//   - js and go are programs; the first line names the file.
//   - sql goes to a private PostgreSQL server, as its superuser.
//   - text that follows sh directly is the output: each of its lines is in it, in this order; … stands for any text.
//
// yaml and cel are run by the tests of other packages, see package docpages. The addresses and directories of the pages are
// not a test's to take, so they are replaced, and nothing else is: see replacements.

// docPage is one page that is being run.
type docPage struct {
	t       *testing.T
	dir     string   // where the reader begins
	sticky  []string // the lines that hold for later blocks
	port    string
	apiPort string
	pg      *pgtest.Server
	sql     string // makes the empty database that the pages speak of
	servers []*docServer
	printed strings.Builder // by everything so far
	output  string          // of the last block that was run by sh
}

// replacements returns what the pages write and what is run instead.
func (p *docPage) replacements() []string {
	r := []string{
		"--listen :8080", "--listen 127.0.0.1:" + p.port, // a test listens on loopback alone
		"8080", p.port, "8081", p.apiPort,
		"faquan send ", "faquan send --url http://127.0.0.1:" + p.port + " ", // its default is 8080; a later --url wins
		"/var/lib/faquan", filepath.Join(p.dir, "var"),
		"/etc/faquan", filepath.Join(p.dir, "etc"),
	}
	if p.pg != nil {
		r = append(r, "db1:5432,db2:5432", fmt.Sprint("127.0.0.1:", p.pg.Port()))
	}
	// What the reader takes from the output of an earlier command.
	for written, found := range map[string]*regexp.Regexp{
		"RECORD:HASH":        regexp.MustCompile(`head (\d+:[0-9a-f]{64})`),
		"1f9a3c5e":           regexp.MustCompile(`digest: ([0-9a-f]{8})`),
		"771376440531771976": regexp.MustCompile(`(?m)^voucher (\d+) of`),
	} {
		if all := found.FindAllStringSubmatch(p.printed.String(), -1); all != nil {
			r = append(r, written, all[len(all)-1][1])
		}
	}
	return r
}

// A page that builds ./cmd/faquan begins in a fresh clone of the repository. Every other page begins with a copy of
// examples/ and with `faquan` on the PATH; docSetups has the commands that the page supposes besides.
func beginsInClone(blocks []docpages.Block) bool {
	return slices.ContainsFunc(blocks, func(b docpages.Block) bool { return runsHere(&b) && strings.Contains(b.Text, " ./cmd/faquan") })
}

var docSetups = map[string]string{
	"docs/api.md":             "faquan key new app\nfaquan apply -f catalog.yaml",
	"docs/events.md":          "faquan key new app\nfaquan apply -f catalog.yaml",
	"docs/explaining.md":      "faquan key new app\nfaquan apply -f catalog.yaml",
	"docs/operating.md":       "faquan key new app\nfaquan apply -f catalog.yaml --data DIR",
	"docs/postgresql.md":      "faquan key new app\nfaquan apply -f catalog.yaml --data /var/lib/faquan",
	"docs/sessions.md":        "faquan key new app\nfaquan apply -f catalog.yaml\nmkdir etc",
	"docs/troubleshooting.md": "faquan key new app\nfaquan apply -f catalog.yaml --data DIR",
	"docs/vouchers.md":        "faquan key new app\nfaquan apply -f catalog.yaml",
}

var (
	otherwiseRun = []string{"yaml", "cel"}     // languages of blocks that are run by other tests
	notRunnable  = []string{"text", "mermaid"} // and of those that are no program
)

func TestDocs(t *testing.T) {
	t.Parallel()
	pages := readPages(t)
	sql := ""
	for _, page := range pages {
		for _, b := range blocksOf(t, page) {
			if b.Language == "sql" {
				sql += b.Text
			}
		}
	}
	var clone sync.Mutex
	cloneDir := filepath.Join(t.TempDir(), "faquan")
	for _, page := range pages {
		t.Run(page.Name, func(t *testing.T) {
			t.Parallel()
			blocks := blocksOf(t, page)
			if !slices.ContainsFunc(blocks, func(b docpages.Block) bool { return runsHere(&b) }) {
				return
			}
			p := &docPage{t: t, dir: t.TempDir(), port: freePort(t), apiPort: freePort(t), sql: sql}
			inClone := beginsInClone(blocks)
			if inClone {
				// One after the other in one directory, because the compiler's cache knows packages by their directory.
				clone.Lock()
				t.Cleanup(clone.Unlock)
				p.dir = cloneDir
				p.clone()
			} else {
				setup := strings.NewReplacer(p.replacements()...).Replace(docSetups[page.Name])
				p.mustRun("cp "+repository(t, "examples/catalog.yaml")+" .\n"+setup, "")
			}
			if strings.Contains(page.Text, "db1:5432") {
				p.pg = pgtest.Start(t)
			}
			t.Cleanup(p.kill)
			p.run(page.Name, blocks)
			if inClone && !t.Failed() {
				p.nothingToCommit(strings.Contains(page.Text, "\ncd try\n"))
			}
		})
	}
}

func readPages(t *testing.T) []docpages.Page {
	t.Helper()
	pages, err := docpages.Read(repository(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

func blocksOf(t *testing.T, page docpages.Page) []docpages.Block {
	t.Helper()
	blocks, _, err := page.Blocks()
	if err != nil {
		t.Fatal(err)
	}
	return blocks
}

// repository returns the absolute path of a file of the repository.
func repository(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func runsHere(b *docpages.Block) bool {
	return b.NotRun == "" && slices.Contains([]string{"sh", "js", "go", "sql"}, b.Language)
}

// clone makes what a fresh clone has, as far as the page needs it, and what `npm install` and `go get` would put there.
func (p *docPage) clone() {
	p.t.Helper()
	if err := os.RemoveAll(p.dir); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Mkdir(p.dir, 0o755); err != nil {
		p.t.Fatal(err)
	}
	for _, name := range []string{"cmd", "internal", "examples"} {
		if err := os.CopyFS(filepath.Join(p.dir, name), os.DirFS(repository(p.t, name))); err != nil {
			p.t.Fatal(err)
		}
	}
	root := repository(p.t, "")
	p.mustRun("cp "+root+"/go.mod "+root+"/go.sum "+root+"/.gitignore .\n"+
		"git init -q && git add -A && git -c user.name=docs -c user.email=docs@localhost commit -q -m clone", "")
	for _, install := range []struct{ as, from string }{
		{"alipay-sdk", "alipay-sdk-4"}, {"node-taobao-topclient", "node-taobao-topclient"}, {"topsdk", "topsdk"},
	} {
		from := filepath.Join(root, "sdktest/node/node_modules", install.from)
		if _, err := os.Stat(from); err != nil {
			p.t.Fatalf("%v; run npm --prefix sdktest/node ci", err)
		}
		p.mustRun("mkdir -p node_modules && ln -s "+from+" node_modules/"+install.as, "")
	}
	p.mustRun("mkdir -p try/alipay && cp "+root+"/sdktest/go/go.mod "+root+"/sdktest/go/go.sum try/alipay", "")
}

// nothingToCommit reports what `git add .` would commit of what the reader has made. With inTry the page makes keys and secrets, in
// the directory try.
func (p *docPage) nothingToCommit(inTry bool) {
	p.t.Helper()
	cmd := exec.Command("git", "status", "--porcelain")
	cmd.Dir = p.dir
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		p.t.Errorf("git status after the steps of the page: %v\n%s", err, out)
	}
	if !inTry {
		return
	}
	for _, secret := range []string{"app_private.pem", "secret.txt", "catalog.yaml", "data/secret.key"} {
		if _, err := os.Stat(filepath.Join(p.dir, "try", secret)); err != nil {
			p.t.Errorf("the page leaves no %s, so nothing was compared", secret)
		}
	}
}

// run runs the blocks, section by section.
func (p *docPage) run(page string, blocks []docpages.Block) {
	section := ""
	for k, b := range blocks {
		if b.Section != section {
			section = b.Section
			p.stop()
			p.emptyDatabase(section, blocks)
		}
		at := fmt.Sprintf("%s:%d", page, b.Line)
		switch {
		case b.NotRun != "" || b.Language == "mermaid" || slices.Contains(otherwiseRun, b.Language):
		case b.Language == "text":
			if k > 0 && b.Follows && blocks[k-1].Language == "sh" && blocks[k-1].NotRun == "" {
				p.compare(at, b.Text)
			}
		case b.Language == "sh":
			p.shell(at, b.Text, b.ExitCode)
		case b.Language == "js", b.Language == "go":
			p.program(at, b.Text)
		case b.Language == "sql":
			p.statements(at, b.Text)
		}
		if p.t.Failed() {
			return
		}
	}
	p.stop()
}

// emptyDatabase makes the database that a section supposes, unless the section makes it itself.
func (p *docPage) emptyDatabase(section string, blocks []docpages.Block) {
	if p.pg == nil {
		return
	}
	p.statements("", "DROP DATABASE IF EXISTS faquan; DROP ROLE IF EXISTS faquan")
	if !slices.ContainsFunc(blocks, func(b docpages.Block) bool { return b.Section == section && b.Language == "sql" }) {
		p.statements("", p.sql)
	}
}

func (p *docPage) statements(at, text string) {
	for _, statement := range strings.Split(text, ";") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if err := p.pg.Exec(statement); err != nil {
			p.t.Errorf("%s: %s: %v", at, statement, err)
		}
	}
}

var (
	fileName = regexp.MustCompile(`^// (\S+\.(?:mjs|go))\n`)
	staying  = regexp.MustCompile(`(?m)^(?:\S*faquan|go run \./cmd/faquan) (?:serve|demo)\b[^&|\n]*$`)
	upNow    = regexp.MustCompile(`msg="faquan serves|faquan stays up`)
)

// program writes a program to the file that its first line names.
func (p *docPage) program(at, text string) {
	m := fileName.FindStringSubmatch(text)
	if m == nil {
		p.t.Errorf("%s: the first line does not name the file, as // NAME", at)
		return
	}
	p.mustRun("cat >"+m[1], strings.NewReplacer(p.replacements()...).Replace(text))
}

// shell runs a block of commands.
func (p *docPage) shell(at, text string, exitCode int) {
	last := ""
	joined := strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.Lines(joined) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			last = line
		}
	}
	text = strings.NewReplacer(p.replacements()...).Replace(text)
	if staying.MatchString(last) {
		p.serve(at, text)
	} else {
		cmd := p.bash(text, "")
		out, err := cmd.output()
		if code := cmd.ProcessState.ExitCode(); code != exitCode {
			p.t.Errorf("%s: %v, want exit code %d\n%s\n%s", at, err, exitCode, text, out)
		}
		p.output = out
		p.printed.WriteString(out)
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "cd ") || strings.HasPrefix(line, "export ") {
			p.sticky = append(p.sticky, line)
		}
	}
}

// compare looks for the lines of the shown output in what was printed.
func (p *docPage) compare(at, shown string) {
	rest := p.output
	for line := range strings.Lines(shown) {
		line = strings.TrimSpace(line)
		if line == "" || line == "…" {
			continue
		}
		pattern := strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*")
		found := regexp.MustCompile(`(?m)^[ \t]*` + pattern + `[ \t]*$`).FindStringIndex(rest)
		if found == nil {
			p.t.Errorf("%s: the output does not have (behind the lines before it)\n%s\nbut\n%s", at, line, p.output)
			return
		}
		rest = rest[found[1]:]
	}
}

func (p *docPage) mustRun(text, stdin string) {
	p.t.Helper()
	if out, err := p.bash(text, stdin).output(); err != nil {
		p.t.Fatalf("%v\n%s\n%s", err, text, out)
	}
}

type docCommand struct{ *exec.Cmd }

// bash prepares a script that begins where the blocks before it have led.
func (p *docPage) bash(text, stdin string) docCommand {
	cmd := exec.Command("bash", "-c", "set -eo pipefail\n"+strings.Join(p.sticky, "")+text)
	cmd.Dir = p.dir
	cmd.Stdin = strings.NewReader(stdin)
	// A command without --listen has another port than 8080, too. A client of TOP sends the time of its zone.
	cmd.Env = append(bareEnviron(), "FAQUAN_LISTEN=127.0.0.1:"+p.port, "TZ=UTC", "FAQUAN_SHUTDOWN_DRAIN=0s")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return docCommand{cmd}
}

func (c docCommand) output() (string, error) {
	out, err := c.CombinedOutput()
	return string(out), err
}

// docServer is a command that keeps running.
type docServer struct {
	at    string
	cmd   *exec.Cmd
	goRun bool // go run, which always exits with 1 after an interrupt
	ended chan struct{}
	err   error // once it has ended

	mu   sync.Mutex
	said bytes.Buffer
	up   chan struct{} // closed when it serves
}

func (s *docServer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := upNow.Match(s.said.Bytes())
	s.said.Write(b)
	if !before && upNow.Match(s.said.Bytes()) {
		close(s.up)
	}
	return len(b), nil
}

func (s *docServer) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.String()
}

// serve runs a block whose last command keeps running, and waits until that serves.
func (p *docPage) serve(at, text string) {
	s := &docServer{at: at, goRun: strings.HasPrefix(text, "go run "), cmd: p.bash(text, "").Cmd, ended: make(chan struct{}), up: make(chan struct{})}
	s.cmd.Stdout, s.cmd.Stderr = s, s
	if err := s.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.servers = append(p.servers, s)
	go func() { s.err = s.cmd.Wait(); close(s.ended) }()
	select {
	case <-s.up:
	case <-s.ended:
		p.t.Errorf("%s: ended: %v\n%s\n%s", at, s.err, text, s.text())
	case <-time.After(3 * time.Minute):
		p.t.Errorf("%s: it does not serve\n%s\n%s", at, text, s.text())
	}
}

// stop interrupts what is running, as Ctrl-C does.
func (p *docPage) stop() {
	for _, s := range p.servers {
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGINT)
		select {
		case <-s.ended:
			if s.err != nil && !s.goRun {
				p.t.Errorf("%s: interrupted, it ended: %v\n%s", s.at, s.err, s.text())
			}
		case <-time.After(time.Minute):
			p.t.Errorf("%s: it does not stop\n%s", s.at, s.text())
		}
	}
	p.kill()
	p.servers = nil
}

// kill ends what still runs.
func (p *docPage) kill() {
	for _, s := range p.servers {
		select {
		case <-s.ended:
		default:
			_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
			<-s.ended
		}
	}
}

var (
	indentedCommand = regexp.MustCompile(`(?m)^(?: {4,}|\t+)(?:\$ |(?:\./)?faquan [a-z]|go [a-z]|npm |node |curl |make |export |scripts/).*`)
	inlineCode      = regexp.MustCompile("`([^`]+)`")
	aCommand        = regexp.MustCompile(`^(?:\S*/)?faquan ([a-z-]+.*)`)
	endOfCommand    = regexp.MustCompile(` #|[;&|>]`)
)

// Each block is run by a test or says why not, and no command is hidden from that in an indented block. Of those that are
// not run, and of those inside a line, the command and its flags exist.
func TestDocsAreAllRun(t *testing.T) {
	for _, page := range readPages(t) {
		blocks, prose, err := page.Blocks()
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks {
			at := fmt.Sprintf("%s:%d", page.Name, b.Line)
			if !runsHere(&b) && b.NotRun == "" && !slices.Contains(notRunnable, b.Language) && !slices.Contains(otherwiseRun, b.Language) {
				t.Errorf("%s: no test runs blocks of %q; say why in a comment before it: <!-- not run: … -->", at, b.Language)
			}
			for line := range strings.Lines(strings.ReplaceAll(b.Text, "\\\n", " ")) {
				checkCommand(t, at, line)
			}
		}
		for _, line := range indentedCommand.FindAllString(prose, -1) {
			t.Errorf("%s: a command stands in an indented block; fence it: %s", page.Name, line)
		}
		for _, m := range inlineCode.FindAllStringSubmatch(prose, -1) {
			checkCommand(t, page.Name, strings.ReplaceAll(m[1], "\n", " "))
		}
	}
	// The examples of the help are copied, too.
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		for line := range strings.Lines(strings.ReplaceAll(cmd.Example, "\\\n", " ")) {
			checkCommand(t, cmd.CommandPath()+" --help", line)
		}
		for _, child := range cmd.Commands() {
			visit(child)
		}
	}
	visit(newRoot())
}

// checkCommand reports a call of faquan whose command or flags there are not.
func checkCommand(t *testing.T, at, line string) {
	t.Helper()
	m := aCommand.FindStringSubmatch(strings.TrimSpace(line))
	if m == nil {
		return
	}
	args := strings.Fields(endOfCommand.Split(m[1], 2)[0])
	root := newRoot()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	cmd, rest, err := root.Find(args)
	if err == nil && cmd.HasSubCommands() && len(rest) > 0 && regexp.MustCompile(`^[a-z]`).MatchString(rest[0]) {
		err = fmt.Errorf("%s has no command %s", cmd.CommandPath(), rest[0])
	}
	if err != nil {
		t.Errorf("%s: %s: %v", at, line, err)
		return
	}
	for _, arg := range args {
		name, isFlag := strings.CutPrefix(arg, "--")
		name, _, _ = strings.Cut(strings.TrimRight(name, ",."), "=")
		if isFlag && name != "" && name != "help" && cmd.Flags().Lookup(name) == nil && cmd.InheritedFlags().Lookup(name) == nil {
			t.Errorf("%s: %s: %s has no flag --%s", at, line, cmd.CommandPath(), name)
		}
	}
}

var (
	link        = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	headingLine = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	notInAnchor = regexp.MustCompile(`[^\p{L}\p{N}\-_ ]`)
)

// anchors returns the names that GitHub gives to the headings of a page.
func anchors(t *testing.T, page docpages.Page) []string {
	t.Helper()
	_, prose, err := page.Blocks()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range headingLine.FindAllStringSubmatch(prose, -1) {
		all = append(all, strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return all
}

// TestLinksResolve: every relative link of a page leads to a file of the repository, and its anchor to a heading there.
func TestLinksResolve(t *testing.T) {
	changelog, err := os.ReadFile(repository(t, "CHANGELOG.md"))
	if err != nil {
		t.Fatal(err)
	}
	pages := append(readPages(t), docpages.Page{Name: "CHANGELOG.md", Text: string(changelog)})
	headings := map[string][]string{}
	for _, page := range pages {
		headings[page.Name] = anchors(t, page)
	}
	for _, page := range pages {
		_, prose, err := page.Blocks()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(prose, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, anchor, hasAnchor := strings.Cut(m[1], "#")
			target := page.Name
			if file != "" {
				target = filepath.Join(filepath.Dir(page.Name), file)
			}
			if _, err := os.Stat(repository(t, target)); err != nil {
				t.Errorf("%s: the link %s leads nowhere: %v", page.Name, m[1], err)
			} else if hasAnchor && !slices.Contains(headings[target], anchor) {
				t.Errorf("%s: the link %s: %s has no such heading", page.Name, m[1], target)
			}
		}
	}
}

// goVersion is what the READMEs and the quickstarts say, in either language.
var goVersion = regexp.MustCompile(`Go ?[(（](\d+\.\d+)`)

// TestPagesNameTheGoVersion: every page that says which Go it needs says the one of go.mod.
func TestPagesNameTheGoVersion(t *testing.T) {
	mod, err := os.ReadFile(repository(t, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	want := string(regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)[1])
	n := 0
	for _, page := range readPages(t) {
		for _, m := range goVersion.FindAllStringSubmatch(page.Text, -1) {
			n++
			if m[1] != want {
				t.Errorf("%s names Go %s, and go.mod has %s", page.Name, m[1], want)
			}
		}
	}
	if n < 4 {
		t.Errorf("%d pages name a version of Go; two READMEs and two quickstarts should", n)
	}
}

// largeNumber is a number that JavaScript cannot hold exactly.
var largeNumber = regexp.MustCompile(`[:=] ?(\d{16,19})\b`)

// Examples have ids that JavaScript reads exactly.
func TestExamplesHaveSmallIDs(t *testing.T) {
	texts := map[string]string{}
	for _, name := range []string{"examples/catalog.yaml", "cmd/faquan/demo/catalog.yaml", "cmd/faquan/demotop.go", "cmd/faquan/send.go"} {
		text, err := os.ReadFile(repository(t, name))
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	for _, page := range readPages(t) {
		for _, b := range blocksOf(t, page) {
			texts[page.Name] += b.Text
		}
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		for _, m := range largeNumber.FindAllStringSubmatch(texts[name], -1) {
			t.Errorf("%s: %s is beyond 2^53, and JavaScript rounds it", name, m[1])
		}
	}
}
