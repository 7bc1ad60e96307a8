package benefit

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// CodeKey returns what a certificate code is looked up by.
func CodeKey(code string) ClaimKey {
	return ClaimKey{ID: ClaimIDOf(CodeScope, code), Scope: CodeScope, Key: code}
}

// codeRequest is a request's need for codes of a length.
type codeRequest struct {
	r      *Request
	digits int
}

// codeDraw is what was drawn for it, free or not. Codes are drawn before the load and looked up with it, so that a code is
// given out only when it is known to be free; those that are taken are drawn again.
type codeDraw struct {
	keys   []ClaimKey // drawn and not given out
	rounds int
}

const (
	spareCodes = 1  // drawn beyond what a request needs, so that a lone clash costs no second look
	drawRounds = 16 // after which a request goes without
)

// drawCodes draws the codes that the request may still need, and returns the keys to look up.
func (a *attempt) drawCodes(env Env) (keys []ClaimKey) {
	var need map[int]int // by digits; most requests need none
	for l := range a.lines() {
		if t := a.cat.Templates[l.Template]; t != nil && t.Kind == Certificate {
			if need == nil {
				need = map[int]int{}
			}
			need[t.Code.Digits] += l.Vouchers()
		}
	}
	if need == nil {
		return nil
	}
	for _, digits := range slices.Sorted(maps.Keys(need)) {
		keys = append(keys, a.st.drawFor(codeRequest{a.request, digits}, need[digits], env.Rand)...)
	}
	return keys
}

func (s *State) drawFor(request codeRequest, need int, r *rand.Rand) []ClaimKey {
	d := s.codeDraws[request]
	if d == nil {
		d = &codeDraw{}
		s.codeDraws[request] = d
	}
	for _, k := range d.keys {
		if s.claims[k.ID] == nil {
			need--
		}
	}
	if need <= 0 || d.rounds == drawRounds {
		return nil
	}
	d.rounds++
	had := len(d.keys)
	for range need + spareCodes {
		// Two requests of a batch never draw the same code, so neither can take it from the other.
		if k := CodeKey(drawCode(request.digits, r)); !s.drawnCodes[k.ID] { //guard:TestCodesAreUnique without !s.drawnCodes[k.ID]
			s.drawnCodes[k.ID] = true
			d.keys = append(d.keys, k)
		}
	}
	return d.keys[had:]
}

// takeCodes returns n free codes, or as many as there are; none for a template without codes.
func (s *State) takeCodes(r *Request, t *Template, n int) (free []string) {
	if t.Kind != Certificate {
		return nil
	}
	d := s.codeDraws[codeRequest{r, t.Code.Digits}]
	for len(free) < n && d != nil && len(d.keys) > 0 {
		if s.claim(d.keys[0].ID) == nil { //guard:TestCodesAreUnique without s.claim(d.keys[0].ID) == nil
			free = append(free, d.keys[0].Key)
		}
		d.keys = d.keys[1:]
	}
	return free
}

// drawCode draws a code of so many decimal digits, each as likely as any other.
func drawCode(digits int, r *rand.Rand) string {
	code := make([]byte, digits)
	for k := range code {
		code[k] = byte('0' + r.IntN(10)) //guard:TestCodesAreFair r.IntN(10) -> r.IntN(16)%10
	}
	return string(code)
}
