package sdktest

import (
	"encoding/json"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// topCase is one of ../top-cases.json, which every client of TOP runs. ../README.md has the notation of answers.
type topCase struct {
	Name  string    `json:"name"`
	Steps []topStep `json:"steps"`
}

type topStep struct {
	Faquan []string `json:"faquan"` // in place of the others

	Method  string         `json:"method"`
	AppKey  string         `json:"app_key"`
	Session string         `json:"session"`
	Params  map[string]any `json:"params"`

	Answer map[string]any `json:"answer"`
	Error  *topRefusal    `json:"error"`
}

// topRefusal is an error_response. A client that does not tell its user a member leaves it zero.
type topRefusal struct {
	Code    int    `json:"code"`
	Msg     string `json:"msg"`
	SubCode string `json:"sub_code"`
	SubMsg  string `json:"sub_msg"`
}

// topClient calls TOP for an app. The answer is the members of the root, in any of the shapes.
type topClient func(t *testing.T, w world, step topStep) (answer map[string]any, refusal *topRefusal)

var topClients = map[string]topClient{
	"nilorg":            callNilorg,
	"strict-xml":        strictClient{"xml", "hmac", false}.call,
	"strict-json":       strictClient{"json", "hmac-sha256", false}.call,
	"strict-simplified": strictClient{"json", "md5", true}.call,
}

// TestTOP runs the cases with the client that SDKTEST_SDK names. Each needs a world of its own, since they use the
// same keys.
func TestTOP(t *testing.T) {
	w := theWorld(t)
	client := topClients[os.Getenv("SDKTEST_SDK")]
	if client == nil {
		t.Fatalf("SDKTEST_SDK names no client of TOP: %q", os.Getenv("SDKTEST_SDK"))
	}
	var file struct {
		Cases []topCase `json:"cases"`
	}
	readJSON(t, w.TOPCases, &file)
	for _, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) {
			var answers []map[string]any
			for n, s := range c.Steps {
				if len(s.Faquan) > 0 {
					s.operate(t, w, answers)
					answers = append(answers, nil)
					continue
				}
				answer, refusal := client(t, w, s)
				answers = append(answers, answer)
				text, _ := json.Marshal(answer)
				t.Logf("step %d: %s %v was answered %s %+v", n, s.Method, s.Params, text, refusal)
				switch {
				case s.Error != nil:
					s.Error.check(t, refusal)
				case refusal != nil:
					t.Errorf("step %d was refused", n)
				default:
					s.check(t, answers)
				}
			}
		})
	}
	t.Run("a wrong secret is refused", func(t *testing.T) {
		w.AppSecret = "not-the-secret"
		_, refusal := client(t, w, topStep{Method: "taobao.time.get"})
		(&topRefusal{Code: 25, Msg: "Invalid signature"}).check(t, refusal)
	})
}

func (want *topRefusal) check(t *testing.T, got *topRefusal) {
	t.Helper()
	if got == nil {
		t.Fatal("it was not refused")
	}
	if got.Code == 0 { // the client tells one text only
		if got.SubMsg == "" || want.SubMsg != "" && got.SubMsg != want.SubMsg {
			t.Errorf("refused with %q, want %q", got.SubMsg, want.SubMsg)
		}
		return
	}
	if got.Code != want.Code || got.SubCode != want.SubCode || got.Msg == "" || !strings.Contains(got.SubMsg, want.SubMsg) {
		t.Errorf("refused with %+v, want %+v", got, want)
	}
}

// operate runs the program as its operator does.
func (s *topStep) operate(t *testing.T, w world, answers []map[string]any) {
	t.Helper()
	args := slices.Clone(s.Faquan)
	for k, arg := range args {
		if m := topReference.FindStringSubmatch(arg); m != nil {
			n, _ := strconv.Atoi(m[2])
			args[k], _ = at(answers[n], m[3]).(string)
		}
	}
	if out, err := exec.Command(w.Program, args...).CombinedOutput(); err != nil {
		t.Fatalf("faquan %q: %v\n%s", s.Faquan, err, out)
	}
}

// topReference is another step's member: the same, or another one.
var topReference = regexp.MustCompile(`^([@!])(\d+):(.*)$`)

func (s *topStep) check(t *testing.T, answers []map[string]any) {
	t.Helper()
	for path, want := range s.Answer {
		got := at(answers[len(answers)-1], path)
		text, isText := want.(string)
		switch m := topReference.FindStringSubmatch(text); {
		case m != nil:
			n, _ := strconv.Atoi(m[2])
			if same := reflect.DeepEqual(got, at(answers[n], m[3])); same != (m[1] == "@") {
				t.Errorf("%s is %v, want %s", path, got, text)
			}
		case isText && strings.HasPrefix(text, "~"):
			if found, ok := got.(string); !ok || !regexp.MustCompile(text[1:]).MatchString(found) {
				t.Errorf("%s is %v, want %s", path, got, text)
			}
		case got != want:
			t.Errorf("%s is %#v, want %#v", path, got, want)
		}
	}
}

// at returns what stands at the end of a path such as "result.list.0.code", nil when there is nothing. The member
// around a list has the name of its type.
func at(node any, path string) any {
	for _, name := range strings.Split(path, ".") {
		if members, ok := node.(map[string]any); ok {
			if _, err := strconv.Atoi(name); err != nil {
				node = members[name]
				continue
			}
			for _, list := range members {
				node = list
			}
		}
		list, _ := node.([]any)
		n, err := strconv.Atoi(name)
		if err != nil || n >= len(list) {
			return nil
		}
		node = list[n]
	}
	return node
}

// topParams returns the parameters of a call as a form carries them.
func (s *topStep) topParams(t *testing.T) map[string]string {
	t.Helper()
	params := map[string]string{}
	for name, value := range s.Params {
		text, isText := value.(string)
		if !isText {
			encoded, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			text = string(encoded)
		}
		params[name] = text
	}
	return params
}
