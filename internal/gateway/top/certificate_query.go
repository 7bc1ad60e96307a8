package top

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
	"faquan/internal/gateway/scope"
	"faquan/internal/gateway/top/wire"
	"faquan/internal/id"
)

// certificateQuery is tmall.nrt.certificate.query: the certificates of one open_id, by their codes, or the newest.
// The platform asks for codes always; who waits for an unknown outcome has none, so faquan lists them without.
var certificateQuery = &method{
	name:    "tmall.nrt.certificate.query",
	session: true,
	object:  "nrt_certificate_instance_query_d_t_o",
	run: func(h *Handler, ctx context.Context, c *call) (*wire.Answer, *wire.Error) {
		q, bad := readCertificateQuery(c)
		if bad != nil {
			return nil, bad
		}
		page, err := h.findCertificates(ctx, c, q)
		switch {
		case errors.Is(err, errNotSearched):
			c.record.Outcome = gateway.Invalid
			return c.refuseQuery(queryTooWide)
		case err != nil:
			if !errors.Is(err, gateway.ErrReadersBusy) {
				c.record.Err = err
			}
			c.record.Outcome = gateway.Busy
			return c.refuseQuery(certificateBusy)
		}
		return c.answerQuery(q, page, h.o.Clock())
	},
}

// Bounds of nrt_certificate_instance_query_d_t_o.
const (
	defaultPageSize = 20
	maxPageSize     = 100
	maxQueriedCodes = 100
	maxCodeDigits   = 64
)

// maxListed bounds a query without codes: it looks at no more of a user's issuances than the newest so many, and
// answers no page beyond so many certificates. Older ones are found by their codes.
const maxListed = 1000

// How many queries may run at once, and how long one waits for room.
const (
	maxReaders      = 4
	maxReadersOfApp = 2
	readersWait     = time.Second
)

// queryTooWide is the result code of a page that is empty because the search ended, see errNotSearched.
const queryTooWide = "QUERY_TOO_WIDE"

// queryTexts explains each result code of the query. The page of the API in docs/reference has the same table.
var queryTexts = map[string]string{
	certificateOK:   certificateTexts[certificateOK],
	certificateBusy: "系统繁忙，本次查询未完成，不代表没有电子凭证，请稍后重试",
	queryTooWide:    "已查询该用户最近" + strconv.Itoa(maxListed) + "次领取，未找到更多电子凭证，更早的凭证请传入codes查询",
}

func (c *call) refuseQuery(code string) (*wire.Answer, *wire.Error) {
	return c.certificateResult(code, queryTexts[code], nil)
}

// certificateQueryOrder is nrt_certificate_instance_query_d_t_o.
type certificateQueryOrder struct {
	recipient  benefit.Identifier // the open_id
	bizCode    string             // "": any
	codes      []string           // none: the newest
	size, page int64
}

// readCertificateQuery reads the parameters by the rules of the page.
func readCertificateQuery(c *call) (q certificateQueryOrder, bad *wire.Error) {
	dto := c.object()
	q.size = positive(dto, "page_size", defaultPageSize)
	if q.size > maxPageSize {
		dto.Fail(wire.Invalid("page_size", "最大为"+strconv.Itoa(maxPageSize)))
	}
	q.page = positive(dto, "current_page", 1)
	//guard:TestQueryByCodes c.app.ID -> 1
	q.recipient = openID(dto.RequiredText("open_id", benefit.MaxIdentifier), c.app.ID)
	q.codes = dto.Texts("codes", maxQueriedCodes, maxCodeDigits)
	q.bizCode = dto.Text("biz_code", maxBizCode)
	if len(q.codes) == 0 && q.page > maxListed/q.size {
		dto.Fail(wire.Invalid("current_page", "未传codes时current_page与page_size的乘积最大为"+strconv.Itoa(maxListed)))
	}
	return q, dto.Err()
}

// positive returns an optional whole number from 1.
func positive(dto *wire.Args, name string, without int64) int64 {
	n, given := dto.Int(name)
	if given && n > 0 {
		return n
	}
	if given {
		dto.Fail(wire.Invalid(name, "应为正整数"))
	}
	return without
}

// issuedCertificate is a certificate as the query answers it.
type issuedCertificate struct {
	benefit.Voucher
	of    *benefit.Issuance
	outID int64
}

// certificatePage is a page of what a query found.
type certificatePage struct {
	shown []issuedCertificate
	total int64 // by codes: of all pages; else one more than the pages up to this one when there are others, or may be
}

// errNotSearched is returned when a page is empty because the search ended at maxListed, so that it is not known
// whether there is anything. An empty page would mean that nothing was issued.
var errNotSearched = errors.New("the search ended before the page began")

// findCertificates returns those that match: by codes in the order of the codes, else the newest first.
func (h *Handler) findCertificates(ctx context.Context, c *call, q certificateQueryOrder) (page certificatePage, err error) {
	leave, err := h.readers.Enter(ctx, c.app.ID)
	if err != nil {
		return page, err
	}
	defer leave()
	if len(q.codes) > 0 {
		page, err = h.certificatesByCodes(ctx, c, q)
	} else {
		page, err = h.newestCertificates(ctx, c, q)
	}
	if err == nil {
		err = h.addStates(ctx, page.shown)
	}
	return page, err
}

// addStates adds to each certificate of a page what has become of it.
func (h *Handler) addStates(ctx context.Context, shown []issuedCertificate) error {
	vouchers := make([]id.ID, len(shown))
	for k := range shown {
		vouchers[k] = shown[k].ID
	}
	states, err := h.o.States(ctx, vouchers...)
	if err != nil { //guard:TestStatesThatCannotBeRead
		return err
	}
	for k := range shown {
		shown[k].Voucher = shown[k].With(states[shown[k].ID]) //guard:TestLifeOfACertificate
	}
	return nil
}

// certificatesByCodes looks each code up, once.
func (h *Handler) certificatesByCodes(ctx context.Context, c *call, q certificateQueryOrder) (page certificatePage, err error) {
	var found []issuedCertificate
	for k, code := range q.codes {
		if slices.Contains(q.codes[:k], code) {
			continue
		}
		i, err := h.o.Finder.Claim(ctx, benefit.CodeScope, code)
		if err != nil {
			return page, err
		}
		if i == nil {
			continue
		}
		for _, one := range c.certificatesOf(i, q) {
			if one.Code == code {
				found = append(found, one)
			}
		}
	}
	page.total = int64(len(found))
	pages := slices.Collect(slices.Chunk(found, int(q.size)))
	if q.page <= int64(len(pages)) {
		page.shown = pages[q.page-1]
	}
	return page, nil
}

// newestCertificates iterates over what the user of the open_id has received, until the page is full and one more is
// found.
func (h *Handler) newestCertificates(ctx context.Context, c *call, q certificateQueryOrder) (page certificatePage, err error) {
	user, err := h.o.Finder.Recipient(ctx, q.recipient)
	if err != nil || user == nil {
		return page, err
	}
	end := q.page * q.size // at most maxListed
	looked := 0
	for i, err := range h.o.Finder.RecentIssuances(ctx, user.ID, 0) {
		if err != nil {
			return certificatePage{}, err
		}
		if looked++; looked > maxListed {
			if len(page.shown) == 0 { //guard:TestQueryOfAUserWithTooMuch
				return page, errNotSearched
			}
			page.total = end + 1
			return page, nil
		}
		for _, one := range slices.Backward(c.certificatesOf(i, q)) {
			if page.total++; page.total > end { //guard:TestQueryStopsAtThePage
				return page, nil
			}
			if page.total > end-q.size {
				page.shown = append(page.shown, one)
			}
		}
	}
	return page, nil
}

// certificatesOf returns the certificates of an issuance that the caller may see: issued to this open_id of this app, of a
// template that it may issue for the merchant of its session. Those of others are answered like codes that do not exist.
func (c *call) certificatesOf(i *benefit.Issuance, q certificateQueryOrder) (found []issuedCertificate) {
	//guard:TestQueryByCodes without i.Recipient != q.recipient
	if i.Recipient != q.recipient || q.bizCode != "" && i.Params.BizCode != q.bizCode {
		return nil
	}
	for _, v := range i.Vouchers() {
		t := c.apps.Catalogue.Templates[v.Template]
		//guard:TestQueryByCodes c.mayIssue(t) -> t != nil
		if v.Kind == benefit.Certificate && c.mayIssue(t) {
			found = append(found, issuedCertificate{v, i, t.OutID})
		}
	}
	return found
}

// answerQuery writes one page. Status and out_id have other types than in tmall.nrt.certificate.send, and paging
// values are texts; so it is on the platform.
func (c *call) answerQuery(q certificateQueryOrder, page certificatePage, now time.Time) (*wire.Answer, *wire.Error) {
	shown := page.shown
	return c.certificateResult(certificateOK, queryTexts[certificateOK], func(a *wire.Answer) {
		a.Objects("data_list", "nrt_certificate_instance_response_dto", len(shown), func(i int) { shown[i].write(a, now) })
		a.Text("page_size", strconv.FormatInt(q.size, 10))
		a.Text("current_page", strconv.FormatInt(q.page, 10))
		a.Text("total_item", strconv.FormatInt(page.total, 10))
	})
}

func (one *issuedCertificate) write(a *wire.Answer, now time.Time) {
	a.Time("create_time", one.IssuedAt.Time())
	timeIfAny(a, "start_time", one.Valid.Start)
	timeIfAny(a, "end_time", one.LastSecond())
	a.Text("certificate_code", one.Code)
	a.Time("modified_time", one.LastChange().Time())
	a.Int("status", certificateStatus(&one.Voucher, now))
	a.Text("open_id", one.of.Recipient.Value)
	if one.of.Scope == scope.Certificate(one.of.App) { // those of other APIs have no channel
		a.Int("channel", one.of.Params.Channel)
	}
	a.Text("out_id", strconv.FormatInt(one.outID, 10))
}
