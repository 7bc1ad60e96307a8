// Package scope names the scopes of idempotency keys: for each API the place where its keys are unique.
//
//	request.Scope = scope.Relation(app, relationID)
//
// The core takes a scope as a value and never looks into it. The names are stored with every issuance and the claim of its
// key is looked up by them, so they never change, and a new API needs a prefix of its own.
package scope

import (
	"strconv"
	"strings"

	"faquan/internal/benefit"
)

// The prefixes, one for each API. None begins another, nor benefit.CodeScope.
const (
	template    = "t/"
	relation    = "r/"
	biz         = "b/"
	certificate = "c/"
)

// Template returns the scope of alipay.marketing.voucher.send: the template.
func Template(t benefit.TemplateID) benefit.Scope {
	return benefit.Scope(template + strconv.FormatInt(int64(t), 10))
}

// Relation returns the scope of taobao.mobile.promotion.benefit.activity.send: the app and the activity's relation_id as
// sent, so that a key is found even when the activity is gone.
func Relation(a benefit.AppID, relationID int64) benefit.Scope {
	return benefit.Scope(relation + strconv.FormatInt(int64(a), 10) + "/" + strconv.FormatInt(relationID, 10))
}

// Biz returns the scope of alibaba.alsc.upp.right.decisionsend: the app and its biz_code.
func Biz(a benefit.AppID, bizCode string) benefit.Scope {
	return benefit.Scope(biz + strconv.FormatInt(int64(a), 10) + "/" + bizCode)
}

// Certificate returns the scope of tmall.nrt.certificate.send: the app. That API has no key; its gateway makes one.
func Certificate(a benefit.AppID) benefit.Scope {
	return benefit.Scope(certificate + strconv.FormatInt(int64(a), 10))
}

// IsRelation reports whether Relation made the scope.
func IsRelation(s benefit.Scope) bool { return strings.HasPrefix(string(s), relation) }

// Parts is what a scope was made of. What its API does not use is zero.
type Parts struct {
	Template   benefit.TemplateID
	App        benefit.AppID
	RelationID int64
	BizCode    string
}

// Parse returns the parts of a scope, and false if no API makes such a scope.
func Parse(s benefit.Scope) (p Parts, ok bool) {
	kind, rest, _ := strings.Cut(string(s), "/")
	number, more, _ := strings.Cut(rest, "/")
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return Parts{}, false
	}
	p.App = benefit.AppID(id)
	switch kind + "/" {
	case template:
		p = Parts{Template: benefit.TemplateID(id)}
	case relation:
		p.RelationID, err = strconv.ParseInt(more, 10, 64)
	case biz:
		p.BizCode = more
	case certificate:
	default:
		return Parts{}, false
	}
	return p, err == nil
}
