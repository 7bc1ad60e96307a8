// Package expiry finds the vouchers whose end has passed by itself, and has their events recorded.
//
// Nothing happens in a store when the end of a voucher passes. A [Finder] looks for such vouchers with the cursors that the
// catalogue's subscriptions have made (see [benefit.ExpiryCursor]), and returns a [benefit.Expiry] command that records
// them and moves the cursor on, in one commit. So each end has one event, whatever becomes of the process, and however
// many processes do this. Templates that no subscription asks for cost nothing.
//
// Events come more than a minute late. By then every voucher with an earlier id is committed, so that a cursor
// leaves none behind.
package expiry
