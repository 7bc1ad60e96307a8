package control

import (
	"fmt"
	"strings"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// identifierNamed reads an identifier in the form TYPE:VALUE, and of an OPEN_ID in the form OPEN_ID/APP:VALUE.
func identifierNamed(cat *benefit.Catalogue, text string) (i benefit.Identifier, err error) {
	kind, value, ok := strings.Cut(text, ":")
	kind, app, ofApp := strings.Cut(kind, "/")
	switch known := benefit.CanonicalType(kind); {
	case known != "":
		return i, fmt.Errorf("the type %q must be written %s", kind, known)
	case !ok || !benefit.ValidIdentifierType(kind) || value == "" || ofApp != (kind == benefit.OpenID):
		return i, fmt.Errorf("must be TYPE:VALUE, such as ALIPAY:2088302001456115, or OPEN_ID/APP:VALUE") // without the text: it may be a phone number
	}
	i = benefit.Identifier{Type: kind, Value: value}
	if ofApp {
		a, err := appByName(cat, app)
		if err != nil {
			return i, err
		}
		i.App = a.ID
	}
	return i, nil
}

// templateNamed returns the template with the operator's handle or the template_id.
func templateNamed(cat *benefit.Catalogue, name string) (*benefit.Template, error) {
	t := cat.TemplateByName(name)
	if t == nil {
		t = cat.TemplateByWireID(name)
	}
	if t == nil {
		return nil, fmt.Errorf("there is no template %q", name)
	}
	return t, nil
}

// redemptionID reads the id of a redemption: that of a voucher in either form, a hyphen and a number.
func redemptionID(text string) (o benefit.OperationID, err error) {
	if voucher, number, ok := strings.Cut(text, "-"); ok {
		if v, err := id.ParseLong(voucher); err == nil {
			text = fmt.Sprintf("%d-%s", v, number)
		}
	}
	return benefit.ParseOperationID(text)
}
