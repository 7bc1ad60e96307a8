package rule

import (
	"bytes"
	"fmt"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"faquan/internal/benefit"
)

// scope provides the variables of a running rule. Each value is made when it is first asked for, and made anew only
// when the input differs from the one before. Inputs are compared by value, so that a scope may see those of any requests
// in any order.
type scope struct {
	in *benefit.RuleInput

	attributes []byte // those that user was made of
	user       *object

	sceneCode, bizCode, userType, userID, requestID text

	actCodes []string
	acts     ref.Val

	time benefit.Instant
	now  ref.Val
	date benefit.Day
	day  ref.Val

	ofTemplate, ofTemplateToday, inActivity, inActivityToday past
}

// begin sets the input of the next rule. It refuses an input that is larger than a rule may look at.
func (s *scope) begin(in *benefit.RuleInput) error {
	switch r := in.Request; {
	case len(in.Attributes) > MaxAttributes:
		return fmt.Errorf("rule: the attributes have %d bytes, at most %d are looked at", len(in.Attributes), MaxAttributes)
	case len(r.Params.SceneCode) > MaxText || len(r.Params.BizCode) > MaxText || len(r.Recipient.Value) > MaxText || len(r.Key) > MaxText:
		return fmt.Errorf("rule: a text of the request has more than %d bytes", MaxText)
	case len(r.Params.ActCodes) > MaxActCodes:
		return fmt.Errorf("rule: the request has %d act_codes, at most %d are looked at", len(r.Params.ActCodes), MaxActCodes)
	}
	//guard:TestNothingIsLeftOfTheLastInput without !bytes.Equal(s.attributes, in.Attributes)
	if s.user == nil || !bytes.Equal(s.attributes, in.Attributes) {
		user, err := attributesOf(in.Attributes)
		if err != nil {
			return err
		}
		s.user, s.attributes = user, append(s.attributes[:0], in.Attributes...)
	}
	s.in = in
	return nil
}

// Parent is none.
func (s *scope) Parent() cel.Activation { return nil }

// ResolveName returns the value of a variable.
func (s *scope) ResolveName(name string) (any, bool) {
	r, now := s.in.Request, s.in.Now
	switch name {
	case "user":
		return s.user, true
	case "known":
		return types.Bool(s.in.Known), true
	case "request.scene_code":
		return s.sceneCode.value(r.Params.SceneCode), true
	case "request.biz_code":
		return s.bizCode.value(r.Params.BizCode), true
	case "request.act_codes":
		return s.codes(r.Params.ActCodes), true
	case "request.user_type":
		return s.userType.value(r.Recipient.Type), true
	case "request.user_id":
		return s.userID.value(r.Recipient.Value), true
	case "request.request_id":
		return s.requestID.value(r.Key), true
	case issuedOf:
		return &s.ofTemplate, true
	case issuedTodayOf:
		return &s.ofTemplateToday, true
	case issuedIn:
		return &s.inActivity, true
	case issuedTodayIn:
		return &s.inActivityToday, true
	case "now":
		if s.now == nil || s.time != now {
			s.time, s.now = now, types.Timestamp{Time: now.Time()}
		}
		return s.now, true
	case "day":
		if d := now.Day(); s.day == nil || s.date != d {
			s.date, s.day = d, types.String(d.String())
		}
		return s.day, true
	case "hour":
		return types.Int((now - now.Day().Start()) / (60 * 60 * 1000)), true
	case "weekday": // 1970-01-01 was a Thursday
		return types.Int((int64(now.Day())+3)%7+7)%7 + 1, true
	}
	return nil, false
}

func (s *scope) codes(codes []string) ref.Val {
	if s.acts == nil || !slices.Equal(s.actCodes, codes) {
		s.actCodes = slices.Clone(codes)
		list := make([]ref.Val, len(codes))
		for k, c := range codes {
			list[k] = types.String(c)
		}
		s.acts = types.NewRefValList(adapter{}, list)
	}
	return s.acts
}

// text keeps CEL's value of the last text.
type text struct {
	last string
	val  ref.Val
}

func (t *text) value(s string) ref.Val {
	if t.val == nil || t.last != s { //guard:TestNothingIsLeftOfTheLastInput without t.last != s
		t.last, t.val = s, types.String(s)
	}
	return t.val
}

// noMap is returned for an unsupported access to past issues.
var noMap = types.NewRefValMap(adapter{}, nil)

// past is a map from names to how many vouchers were received before.
type past struct {
	traits.Mapper
	scope    *scope
	activity bool // by the names of activities; otherwise by those of templates
	today    bool
}

// Find counts.
func (p *past) Find(key ref.Val) (ref.Val, bool) {
	of := p.scope.in.OfTemplate
	if p.activity {
		of = p.scope.in.InActivity
	}
	name, ok := key.(types.String)
	if !ok || of == nil {
		return types.IntZero, ok
	}
	n := of(string(name))
	if p.today {
		return types.Int(n.Today), true
	}
	return types.Int(n.Total), true
}
