package benefit_test

import (
	"slices"
	"testing"

	. "faquan/internal/benefit"
)

// wrongs make a trial wrong in one way each, without undoing what another way did.
var wrongs = map[Reason]func(*trial){
	AppDisabled: func(x *trial) { x.app.Disabled = true },
	KeyConflict: func(x *trial) {
		x.bound = &Issuance{ID: 5, Scope: x.request.Scope, Key: x.request.Key, Fingerprint: FingerprintOf(nil, "another"), Recipient: x.request.Recipient, User: 11}
	},
	IdentifierInvalid: func(x *trial) { x.rename(x.request.Recipient.Type, "two\nlines") },
	UserTypeNotAllowed: func(x *trial) {
		x.merchant.Open = true
		x.rename("INVENTED", x.request.Recipient.Value)
	},
	TemplateNotFound: func(x *trial) { x.request.Lines[0].Template = 99 },
	UserNotFound:     func(x *trial) { x.user = nil },
	TemplateDraft:    func(x *trial) { x.template.Status = Draft },
	TemplatePaused:   func(x *trial) { x.template.Status = Paused },
	TemplateNotOpen:  func(x *trial) { x.template.Publish.Start = x.now + 1 },
	ActivityNotOpen:  func(x *trial) { x.activity.Status = Paused },
	TemplateEnded: func(x *trial) {
		// By the operator, or, where the status is taken by the other wrong, by its window.
		if x.template.Status == Active {
			x.template.Status = Ended
		} else {
			x.template.Publish.End = x.now - 1000
		}
	},
	UserFrozen: func(x *trial) {
		frozen := *x.user
		frozen.Frozen = true
		x.user = &frozen
	},
	UserLimit: func(x *trial) { x.template.Limits.PerUser, x.has.Total = 1, 1 },
	PersonLimit: func(x *trial) {
		x.template.Limits.PerPerson, x.partHas.Total = 1, 1
	},
	UserDayLimit: func(x *trial) {
		x.template.Limits.PerUserPerDay = 1
		x.has.Total, x.has.Day, x.has.DayTotal = 1, x.now.Day(), 1
	},
	StockEmpty:     func(x *trial) { x.template.Stock.Count = 0 },
	BudgetEmpty:    func(x *trial) { x.template.Stock.Amount = 99 },
	DayStockEmpty:  func(x *trial) { x.template.Stock.CountPerDay = 0 },
	DayBudgetEmpty: func(x *trial) { x.template.Stock.AmountPerDay = 99 },
	Guarded: func(x *trial) {
		x.request.Guarded, x.took.Total, x.took.At = true, 1, x.now-999
	},
	CodesEmpty: func(x *trial) {
		x.template.Kind, x.template.Amount, x.template.Code, x.codesTaken = Certificate, AmountRule{}, CodeRule{Digits: 12}, true
		x.request.Lines[0].HasAmount = false
	},
	AmountNotAllowed: func(x *trial) {
		x.template.Amount, x.request.Lines[0].HasAmount = AmountRule{From: Fixed, Min: 100, Max: 100}, true
	},
	AmountMissing:    func(x *trial) { x.request.Lines[0].HasAmount, x.request.Lines[0].Amount = false, 0 },
	AmountOutOfRange: func(x *trial) { x.request.Lines[0].Amount = x.template.Amount.Max + 1 },
}

// infeasible are the pairs that no request can be, and why.
var infeasible = map[[2]Reason]string{
	{TemplateDraft, TemplatePaused}:        "a template has one status",
	{UserNotFound, UserFrozen}:             "a user that is not known is not frozen",
	{UserNotFound, UserLimit}:              "a user that is not known has nothing",
	{UserNotFound, PersonLimit}:            "a user that is not known is linked to nobody",
	{UserNotFound, UserDayLimit}:           "a user that is not known has nothing",
	{AmountNotAllowed, AmountMissing}:      "an amount came, or it did not",
	{AmountNotAllowed, AmountOutOfRange}:   "a template that takes no amount has no range for it",
	{AmountMissing, AmountOutOfRange}:      "an amount that did not come is in no range",
	{UserTypeNotAllowed, TemplateNotFound}: "a template that does not exist has no owner",
	{TemplateNotFound, TemplateDraft}:      noTemplate,
	{TemplateNotFound, TemplatePaused}:     noTemplate,
	{TemplateNotFound, TemplateNotOpen}:    noTemplate,
	{TemplateNotFound, TemplateEnded}:      noTemplate,
	{TemplateNotFound, UserLimit}:          noTemplate,
	{TemplateNotFound, PersonLimit}:        noTemplate,
	{TemplateNotFound, UserDayLimit}:       noTemplate,
	{TemplateNotFound, StockEmpty}:         noTemplate,
	{TemplateNotFound, BudgetEmpty}:        noTemplate,
	{TemplateNotFound, DayStockEmpty}:      noTemplate,
	{TemplateNotFound, DayBudgetEmpty}:     noTemplate,
	{TemplateNotFound, CodesEmpty}:         noTemplate,
	{UserNotFound, Guarded}:                "a user that is not known has received nothing",
	{BudgetEmpty, CodesEmpty}:              "a certificate is worth no money",
	{DayBudgetEmpty, CodesEmpty}:           "a certificate is worth no money",
	{CodesEmpty, AmountMissing}:            "a certificate takes no amount",
	{CodesEmpty, AmountOutOfRange}:         "a certificate takes no amount",
	{TemplateNotFound, AmountNotAllowed}:   noTemplate,
	{TemplateNotFound, AmountMissing}:      noTemplate,
	{TemplateNotFound, AmountOutOfRange}:   noTemplate,
}

// ofDecisions are the reasons that only a request for a scene meets: see TestDecisionErrors.
var ofDecisions = []Reason{SceneNotFound, ActivityNotFound, RightNotFound, NarrowingNotAllowed, OtherMerchant, SceneNotOpen}

// ofLines returns the reasons that a line meets.
func ofLines() []Reason {
	return slices.DeleteFunc(IssueReasons(), func(r Reason) bool { return slices.Contains(ofDecisions, r) })
}

const noTemplate = "a template that does not exist has no status, window, limits, stock or amounts"

func TestNothingWrong(t *testing.T) { newTrial().wantReason(t, NotRefused) }

func TestEachReasonAlone(t *testing.T) {
	for _, r := range ofLines() {
		t.Run(r.String(), func(t *testing.T) {
			x := newTrial()
			wrongs[r](x)
			x.wantReason(t, r)
		})
	}
}

// A request that is wrong in two ways gets the smaller reason.
func TestOrderOfRefusals(t *testing.T) {
	tried := 0
	for k, first := range ofLines() {
		for _, second := range ofLines()[k+1:] {
			if infeasible[[2]Reason{first, second}] != "" {
				continue
			}
			tried++
			t.Run(first.String()+"/"+second.String(), func(t *testing.T) {
				x := newTrial()
				wrongs[first](x)
				wrongs[second](x)
				x.wantReason(t, first)
			})
		}
	}
	if all := len(ofLines()) * (len(ofLines()) - 1) / 2; tried+len(infeasible) != all {
		t.Errorf("tried %d pairs and left out %d, of %d", tried, len(infeasible), all)
	}
}

// An amount that the template does not take is not compared with its budget: what the template gives is.
func TestOrderOfAmountNotAllowedByFace(t *testing.T) {
	x := newTrial()
	x.template.Kind, x.template.Amount, x.template.Face = Reduction, AmountRule{}, Face{Reduction: 500}
	x.wantReason(t, AmountNotAllowed)
	x.template.Stock.Amount = 499
	x.wantReason(t, BudgetEmpty)
	x.template.Stock.Amount, x.template.Stock.AmountPerDay = 500, 499
	x.wantReason(t, DayBudgetEmpty)
}

// Of an amount that cannot be given the least that could be is compared with the budget.
func TestOrderOfAmountsAtTheBudget(t *testing.T) {
	for _, amount := range []Line{{}, {HasAmount: true, Amount: 99}, {HasAmount: true, Amount: 1001}} {
		x := newTrial()
		x.request.Lines[0].HasAmount, x.request.Lines[0].Amount = amount.HasAmount, amount.Amount
		wrong := AmountOutOfRange
		if !amount.HasAmount {
			wrong = AmountMissing
		}
		x.template.Stock.Amount = 100
		x.wantReason(t, wrong)
		x.template.Stock.Amount = 99
		x.wantReason(t, BudgetEmpty)
	}
}

func TestTemplateAndActivityWindows(t *testing.T) {
	for _, c := range []struct {
		name  string
		wrong func(*trial)
		want  Reason
	}{
		{"the template's first instant", func(x *trial) { x.template.Publish.Start = now }, NotRefused},
		{"the template's last instant", func(x *trial) { x.template.Publish.End, x.now = now, now+999 }, NotRefused},
		{"just over", func(x *trial) { x.template.Publish.End, x.now = now, now+1000 }, TemplateEnded},
		{"the activity's first instant", func(x *trial) { x.activity.Window.Start = now }, NotRefused},
		{"before the activity", func(x *trial) { x.activity.Window.Start = now + 1 }, ActivityNotOpen},
		{"the activity's last instant", func(x *trial) { x.activity.Window.End, x.now = now, now+999 }, NotRefused},
		{"after the activity", func(x *trial) { x.activity.Window.End, x.now = now, now+1000 }, ActivityNotOpen},
		{"an activity draft", func(x *trial) { x.activity.Status = Draft }, ActivityNotOpen},
		{"an ended activity", func(x *trial) { x.activity.Status = Ended }, ActivityNotOpen},
		{"an activity that does not exist", func(x *trial) { x.request.Lines[0].Activity = 9 }, ActivityNotOpen},
		{"no activity", func(x *trial) { x.request.Lines[0].Activity, x.activity.Status = 0, Paused }, NotRefused},
		{"a status of no meaning", func(x *trial) { x.template.Status = 0 }, TemplateEnded},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newTrial()
			c.wrong(x)
			x.wantReason(t, c.want)
		})
	}
}

// Caps and limits are exact: the last one is issued, the one after is not.
func TestCapsAndLimitsAreExact(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(x *trial, n int64) // leaves room for n vouchers of 500 fen
		want Reason
	}{
		{"stock", func(x *trial, n int64) { x.template.Stock.Count, x.count.Count = Cap(7+n), 7 }, StockEmpty},
		{"day stock", func(x *trial, n int64) { x.template.Stock.CountPerDay, x.day.Count = Cap(7+n), 7 }, DayStockEmpty},
		{"budget", func(x *trial, n int64) { x.template.Stock.Amount, x.count.Amount = Cap(7+500*n+499), 7 }, BudgetEmpty},
		{"day budget", func(x *trial, n int64) { x.template.Stock.AmountPerDay, x.day.Amount = Cap(7+500*n+499), 7 }, DayBudgetEmpty},
		{"user limit", func(x *trial, n int64) { x.template.Limits.PerUser, x.has.Total = 7+n, 7 }, UserLimit},
		{"person limit", func(x *trial, n int64) {
			x.template.Limits.PerPerson, x.has.Total, x.partHas.Total = 7+n, 3, 4
		}, PersonLimit},
		{"user day limit", func(x *trial, n int64) {
			x.template.Limits.PerUserPerDay, x.has.Total, x.has.Day, x.has.DayTotal = 7+n, 9, x.now.Day(), 7
		}, UserDayLimit},
	} {
		for room := range int64(5) {
			for quantity := 1; quantity <= 3; quantity++ {
				x := newTrial()
				c.set(x, room)
				x.request.Lines[0].Sends, x.request.Lines[0].Quantity = 5, quantity
				o, _ := x.decide()
				want := LineOutcome{Template: 1, Issued: int(room) / quantity, Refused: 5 - int(room)/quantity, Reason: c.want}
				if o.Lines[0] != want {
					t.Errorf("%s with room for %d, by %d: %+v, want %+v", c.name, room, quantity, o.Lines[0], want)
				}
			}
		}
	}
}

// A cap of 0 is none at all; a limit of 0 is no limit.
func TestNoneAndUnlimited(t *testing.T) {
	for want, stock := range map[Reason]Stock{
		StockEmpty:     {Count: 0, Amount: Unlimited, CountPerDay: Unlimited, AmountPerDay: Unlimited},
		BudgetEmpty:    {Count: Unlimited, Amount: 0, CountPerDay: Unlimited, AmountPerDay: Unlimited},
		DayStockEmpty:  {Count: Unlimited, Amount: Unlimited, CountPerDay: 0, AmountPerDay: Unlimited},
		DayBudgetEmpty: {Count: Unlimited, Amount: Unlimited, CountPerDay: Unlimited, AmountPerDay: 0},
		NotRefused:     UnlimitedStock(),
	} {
		x := newTrial()
		x.template.Stock = stock
		const many = 1 << 60
		x.has = Quota{Total: many, Day: x.now.Day(), DayTotal: many}
		x.partHas.Total = many
		if want == NotRefused {
			x.count, x.day = TemplateCount{Count: many, Amount: many}, TemplateDay{Count: many, Amount: many}
		}
		x.wantReason(t, want)
	}
}

func TestDayCountersOfAnotherDayDoNotCount(t *testing.T) {
	x := newTrial()
	x.template.Limits.PerUserPerDay = 1
	x.has.Total, x.has.Day, x.has.DayTotal = 9, x.now.Day()-1, 9
	_, st := x.decide()
	want := Quota{QuotaKey: QuotaKey{User: 11, Template: 1}, Total: 10, Day: x.now.Day(), DayTotal: 1}
	if got := Quotas.Of(st.Changes().Rows); len(got) != 1 || got[0] != want {
		t.Errorf("the quota becomes %+v, want %+v", got, want)
	}
}

// Linked users are counted together only where the template says so; one without a person counts alone.
func TestPersonLimitNeedsAPerson(t *testing.T) {
	x := newTrial()
	x.template.Limits.PerUser, x.partHas.Total = 1, 9
	x.wantReason(t, NotRefused)
	x.template.Limits = Limits{PerPerson: 2}
	x.wantReason(t, PersonLimit)
	x.user.Person = ""
	x.wantReason(t, NotRefused)
	x.has.Total = 2
	x.wantReason(t, PersonLimit)
}
