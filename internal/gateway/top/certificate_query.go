package top

import (
	"context"
	"slices"
	"strconv"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/gateway/top/wire"
	"faquan/internal/id"
)

// certificateQuery is tmall.nrt.certificate.query: the certificates of one open_id, by their codes, or all of them.
// The platform asks for codes always; who waits for an unknown outcome has none, so faquan lists them without.
var certificateQuery = &method{
	name:    "tmall.nrt.certificate.query",
	session: requiredSession,
	run: func(h *Handler, ctx context.Context, c *call) (*wire.Answer, *wire.Error) {
		q, bad := readCertificateQuery(c.req.Args())
		if bad != nil {
			return nil, bad
		}
		found, err := h.findCertificates(ctx, c, q)
		if err != nil {
			c.record.Err = err
			return c.refuseCertificate(certificateBusy)
		}
		return c.answerQuery(q, found, h.o.Clock())
	},
}

// Bounds of nrt_certificate_instance_query_d_t_o.
const (
	defaultPageSize = 20
	maxPageSize     = 100
	maxQueriedCodes = 100
	maxCodeDigits   = 64
)

// maxReaders is how many readers of the store may be open at once for queries.
const maxReaders = 4

// queryPage is how many issuances of a user are read at a time.
const queryPage = 500

type certificateQueryOrder struct {
	openID, bizCode string
	codes           []string // none: all
	size, page      int64
}

// readCertificateQuery reads the parameters by the rules of the page.
func readCertificateQuery(args *wire.Args) (q certificateQueryOrder, bad *wire.Error) {
	dto := args.Object("nrt_certificate_instance_query_d_t_o")
	q.size = positive(dto, "page_size", defaultPageSize)
	if q.size > maxPageSize {
		dto.Fail(wire.Invalid("page_size", "最大为"+strconv.Itoa(maxPageSize)))
	}
	q.page = positive(dto, "current_page", 1)
	q.openID = dto.RequiredText("open_id", benefit.MaxIdentifier)
	q.codes = dto.Texts("codes", maxQueriedCodes, maxCodeDigits)
	q.bizCode = dto.Text("biz_code", maxBizCode)
	return q, args.Err()
}

// positive is an optional whole number from 1.
func positive(dto *wire.Args, name string, without int64) int64 {
	n, given := dto.Int(name)
	if !given {
		return without
	}
	if n < 1 {
		dto.Fail(wire.Invalid(name, "应为正整数"))
	}
	return n
}

// issuedCertificate is a certificate as the query answers it.
type issuedCertificate struct {
	benefit.Voucher
	channel    int64
	hasChannel bool // those of other APIs have none
	outID      int64
}

// findCertificates gives those that match: by codes in the order of the codes, else the newest first.
func (h *Handler) findCertificates(ctx context.Context, c *call, q certificateQueryOrder) ([]issuedCertificate, error) {
	// A reader is dear to open, and a caller may ask as often as its rate allows.
	select {
	case h.reading <- struct{}{}:
		defer func() { <-h.reading }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	reader, err := h.o.Read(ctx)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	f := finding{call: c, query: q, reader: reader, recipient: openID(q.openID, c.app.ID)}
	if len(q.codes) > 0 {
		return f.byCodes(ctx)
	}
	return f.all(ctx)
}

// finding is one search.
type finding struct {
	call      *call
	query     certificateQueryOrder
	reader    Reader
	recipient benefit.Identifier
}

// byCodes looks each code up, once.
func (f *finding) byCodes(ctx context.Context) (found []issuedCertificate, err error) {
	for k, code := range f.query.codes {
		if slices.Contains(f.query.codes[:k], code) {
			continue
		}
		i, err := f.reader.Claim(ctx, benefit.CodeScope, code)
		if err != nil {
			return nil, err
		}
		if i == nil {
			continue
		}
		for _, one := range f.of(i) {
			if one.Code == code {
				found = append(found, one)
			}
		}
	}
	return found, nil
}

// all goes through what the user of the open_id has received.
func (f *finding) all(ctx context.Context) (found []issuedCertificate, err error) {
	user, err := f.reader.Recipient(ctx, f.recipient)
	if err != nil || user == nil {
		return nil, err
	}
	for after := id.ID(0); ; {
		page, err := f.reader.UserIssuances(ctx, user.ID, after, queryPage)
		if err != nil {
			return nil, err
		}
		for _, i := range page {
			found = append(found, f.of(i)...)
		}
		if len(page) < queryPage {
			break
		}
		after = page[len(page)-1].ID
	}
	slices.Reverse(found)
	return found, nil
}

// of gives the certificates of an issuance that the caller may see: issued to this open_id of this app, of a template
// that it may issue for the merchant of its session. Those of others are answered like codes that do not exist.
func (f *finding) of(i *benefit.Issuance) (found []issuedCertificate) {
	if i.Recipient != f.recipient || f.query.bizCode != "" && i.Asked.BizCode != f.query.bizCode {
		return nil
	}
	for _, v := range i.Vouchers() {
		t := f.call.apps.Catalogue.Templates[v.Template]
		if v.Kind != benefit.Certificate || t == nil || !f.call.app.MayIssue(t, f.call.actsFor()) {
			continue
		}
		found = append(found, issuedCertificate{
			Voucher: v, channel: i.Asked.Channel, hasChannel: i.Scope == benefit.CertificateScope(i.App), outID: t.OutID,
		})
	}
	return found
}

// answerQuery writes one page. Status and out_id have other types than in tmall.nrt.certificate.send, and paging
// values are texts; so it is on the platform.
func (c *call) answerQuery(q certificateQueryOrder, found []issuedCertificate, now time.Time) (*wire.Answer, *wire.Error) {
	total := int64(len(found))
	first := total // a page behind the last one is empty
	if q.page-1 <= total/q.size {
		first = min((q.page-1)*q.size, total)
	}
	shown := found[first:min(first+q.size, total)]
	a := c.success()
	a.Object("result", func() {
		a.Object("model", func() {
			a.Objects("data_list", "nrt_certificate_instance_response_dto", len(shown), func(i int) { shown[i].write(a, q.openID, now) })
			a.Text("page_size", strconv.FormatInt(q.size, 10))
			a.Text("current_page", strconv.FormatInt(q.page, 10))
			a.Text("total_item", strconv.FormatInt(total, 10))
		})
		a.Text("message", certificateTexts[certificateOK])
		a.Text("code", certificateOK)
	})
	return a, nil
}

func (one *issuedCertificate) write(a *wire.Answer, openID string, now time.Time) {
	a.Time("create_time", one.IssuedAt.Time())
	writeValidity(a, one.Valid)
	a.Text("certificate_code", one.Code)
	a.Time("modified_time", one.IssuedAt.Time())
	a.Int("status", certificateStatus(&one.Voucher, now))
	a.Text("open_id", openID)
	if one.hasChannel {
		a.Int("channel", one.channel)
	}
	a.Text("out_id", strconv.FormatInt(one.outID, 10))
}
