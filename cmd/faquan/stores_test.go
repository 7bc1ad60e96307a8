package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"faquan/internal/audit"
	"faquan/internal/benefit"
	"faquan/internal/config"
	"faquan/internal/control"
	"faquan/internal/store/embedded"
	"faquan/internal/store/postgres"
)

// earlierStores are folders with the stores that earlier versions wrote; see the README there.
var earlierStores = []string{"testdata/stores/schema3/", "testdata/stores/schema4/"}

// A store that an earlier version wrote opens with all that it holds: the audit finds nothing, the checksum is the one
// that the earlier version computed, and every call is answered as the earlier version answered it. It issues, and what it
// had issued is redeemed, reversed and voided.
func TestEarlierStores(t *testing.T) {
	t.Parallel()
	for _, folder := range earlierStores {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			t.Parallel()
			testEarlierStores(t, folder)
		})
	}
}

func testEarlierStores(t *testing.T, folder string) {
	t.Run("directory", func(t *testing.T) {
		t.Parallel()
		testEarlierStore(t, folder+"data", location{dir: earlierDirectory(t, folder)})
	})
	t.Run("journal alone", func(t *testing.T) {
		t.Parallel()
		dir := earlierDirectory(t, folder)
		if err := os.Remove(filepath.Join(dir, "view.db")); err != nil {
			t.Fatal(err)
		}
		testEarlierStore(t, folder+"data", location{dir: dir})
	})
	t.Run("database", func(t *testing.T) {
		t.Parallel()
		testEarlierStore(t, folder+"database", location{dir: t.TempDir(), store: earlierDatabase(t, folder)})
	})
}

// testEarlierStore has the files beside a store, whose names begin with beside.
func testEarlierStore(t *testing.T, beside string, at location) {
	text, err := os.ReadFile(beside + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var want audit.Checksum
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	migrateEarlier(t, at)
	if got := auditEarlier(t, at).Differences(&want); len(got) > 0 {
		t.Errorf("the rows are not those that the earlier version wrote: %q", got)
	}

	at.acceptClock = true // the last commit may be long ago
	app := filepath.Join(t.TempDir(), "app.pem")
	restateSecrets(t, at, app)
	c := config.Default()
	c.Data, c.Store, c.Listen = at.dir, at.store, "127.0.0.1:0"
	s, err := startServer(t.Context(), &c, serverOptions{log: slog.New(slog.DiscardHandler), acceptClock: true})
	if err != nil {
		t.Fatal(err)
	}
	calls, err := os.ReadFile(beside + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	for call := range strings.SplitSeq(strings.TrimSpace(string(calls)), "\n\n") {
		args, want, _ := strings.Cut(call, "\n")
		if got := answerOf(t, s.url, app, strings.Split(args, "\t")...); got != withoutRequestID(want) {
			t.Errorf("%q is answered\n%s\nand was\n%s", args, got, withoutRequestID(want))
		}
	}
	for _, args := range [][]string{
		{"--template", "discount", "--out-biz-no", "new", "--user", "2088302001456115"},
		{"--method", decisionSend, "--json", `{"scene_code":"FIRST","request_id":"new","biz_code":"B","user_type":"ALIPAY","user_id":"2088302001456600"}`},
		{"--method", activitySend, "--session", "session-bob", "--json", `{"benefit_type":1,"send_count":1,"unique_id":"new","relation_id":1,` +
			`"purchaser_id":2203102002536848287,"detail_id":21,"trace_id":"t","biz_id":"b-1","card_type":"beauty"}`},
		{"--method", certificateSend, "--session", "session-alice", "--json", `{"channel":7,"open_id":"o-alice","out_id":57,"biz_code":"y"}`}, // bound again
	} {
		if got := answerOf(t, s.url, app, args...); !issuedAnswer.MatchString(got) {
			t.Errorf("%q issued nothing: %s", args, got)
		}
	}
	operateOnEarlier(t, s)
	query := []string{"--method", certificateQuery, "--session", "session-alice", "--json", `{"open_id":"o-alice"}`}
	if got := answerOf(t, s.url, app, query...); strings.Count(got, `"status":3`) < 3 || strings.Contains(got, `"status":0`) {
		t.Errorf("the certificates of alice, which are void: %s", got)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if got, want := auditEarlier(t, at).Tables[0], want.Tables[0]; got.Rows != want.Rows+4 {
		t.Errorf("there are %d %s, want %d and 4", got.Rows, got.Table, want.Rows)
	}
}

// operateOnEarlier redeems every voucher of a store that has begun, by its code where it has one, and reverses that. In the end
// it voids all. Those of every kind must be among the redeemed.
func operateOnEarlier(t *testing.T, s *server) {
	t.Helper()
	r, err := s.service.Store.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var vouchers []benefit.Voucher
	for i, err := range r.AllIssuances(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		vouchers = append(vouchers, i.Vouchers()...)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	do := func(action benefit.Action, v *benefit.Voucher, want benefit.VoucherStatus) *benefit.OnVoucher {
		t.Helper()
		c := &benefit.OnVoucher{Action: action, Key: fmt.Sprint(v.ID)}
		switch {
		case action.Operation() == benefit.ReverseOperation: // it names the redemption
		case v.Code != "":
			c.Code = v.Code
		default:
			c.Voucher = v.ID
		}
		if err := s.node.engine.Do(t.Context(), c); err != nil || c.Outcome.Reason != benefit.NotRefused || c.Outcome.Voucher.Status != want {
			t.Errorf("%v %d of template %d: %v, %v, %v", c, v.ID, v.Template, err, c.Outcome.Reason, c.Outcome.Voucher.Status)
		}
		return c
	}
	redeemed := map[benefit.Kind]bool{}
	for _, v := range vouchers {
		if !v.Valid.StartsAfter(benefit.InstantOf(time.Now())) {
			c := do(&benefit.Redeem{OrderAmount: 1_000_000, HasOrderAmount: true}, &v, benefit.Used)
			do(&benefit.Reverse{Redemption: c.Outcome.Transition.OperationID}, &v, benefit.Issued)
			redeemed[v.Kind] = true
		}
		do(&benefit.Void{ReturnStock: true}, &v, benefit.Voided)
	}
	if len(redeemed) != 6 {
		t.Errorf("vouchers of the kinds %v only were redeemed", redeemed)
	}
}

// earlierDirectory returns a copy of the data directory.
func earlierDirectory(t *testing.T, folder string) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("tar", "-xzf", folder+"data.tar.gz", "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	dir = filepath.Join(dir, "data")
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// earlierDatabase returns a copy of the database. Its check of the key file is removed, so that it accepts another one.
func earlierDatabase(t *testing.T, folder string) string {
	t.Helper()
	file, err := os.Open(folder + "database.sql.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var dump []byte
	unzip, err := gzip.NewReader(file)
	if err == nil {
		dump, err = io.ReadAll(unzip)
	}
	if err != nil {
		t.Fatal(err)
	}
	url := testDatabase(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	dump = append(dump, "UPDATE public.state SET key_check = NULL;"...)
	if _, err := conn.PgConn().Exec(t.Context(), string(dump)).ReadAll(); err != nil {
		t.Fatal(err)
	}
	return url
}

// migrateEarlier opens the store and closes it, which migrates it.
func migrateEarlier(t *testing.T, at location) {
	t.Helper()
	var st io.Closer
	var err error
	if at.store == "" {
		st, err = embedded.Open(embedded.Options{Dir: at.dir})
	} else {
		st, err = postgres.Open(t.Context(), postgres.Options{URL: at.store})
	}
	if err == nil {
		err = st.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// auditEarlier audits the store, which must have no findings, and returns its checksum.
func auditEarlier(t *testing.T, at location) *audit.Checksum {
	t.Helper()
	report, err := auditLocation(t.Context(), at, audit.EmbeddedOptions{Options: audit.Options{LookupEvery: 1, Checksum: true}})
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK() || report.Checksum == nil {
		t.Fatalf("findings %v, not checked %q", report.Findings, report.NotKept)
	}
	return report.Checksum
}

// restateSecrets makes a key file, and applies everything that is sealed again. It writes the app's private key to a file.
func restateSecrets(t *testing.T, at location, app string) {
	t.Helper()
	key := make([]byte, 32)
	rand.Read(key)
	platform, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	private := func(key *rsa.PrivateKey) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	}
	err = errors.Join(os.WriteFile(filepath.Join(at.dir, "secret.key"), key, 0o600), os.WriteFile(app, private(testKey()), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	document := &control.Document{Name: "secrets.yaml", Text: []byte(`
platform: {alipay_private_key_file: platform.pem}
apps:
  - {name: shop, merchant: acme, app_id: "` + testAppID + `", public_key_file: app.pem, app_key: "12345678", app_secret: a-secret-of-the-tests}
  - {name: reader, merchant: books, app_key: "12345679", app_secret: a-secret-of-the-tests}
`), Attached: map[string][]byte{
		"platform.pem": private(platform),
		"app.pem":      pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER(&testKey().PublicKey)}),
	}}
	if err := openPlatform(t.Context(), at, func(p control.Platform) error {
		_, err := control.Apply.On(t.Context(), p, document)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// answerOf returns what the server answers to faquan send with the arguments.
func answerOf(t *testing.T, url, app string, args ...string) string {
	t.Helper()
	flags := []string{"send", "--url", url}
	if slices.Contains(args, "--method") {
		flags = append(flags, "--app-key", "12345678", "--secret", "a-secret-of-the-tests")
	} else {
		flags = append(flags, "--app-id", testAppID, "--key", app)
	}
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs(append(flags, args...))
	root.SetOut(&out)
	err := root.ExecuteContext(t.Context()) // an error for a refusal as well
	_, answer, found := strings.Cut(out.String(), "\n← ")
	_, answer, _ = strings.Cut(answer, "\n")
	if !found {
		t.Fatalf("%q: %v: no answer in %q", args, err, out.String())
	}
	return withoutRequestID(strings.TrimSpace(answer))
}

var (
	requestID    = regexp.MustCompile(`"request_id":"\w+"`)
	issuedAnswer = regexp.MustCompile(`"code":"10000"|"success":true|"is_success":true|"certificate_code":"\d+"`)
)

// withoutRequestID leaves out of an answer what names the call, which is another one each time.
func withoutRequestID(answer string) string {
	return requestID.ReplaceAllString(answer, fmt.Sprintf(`"request_id":%q`, ""))
}
