// Package vouchers reads vouchers for those who ask about them: as they stand, and with the operations that were carried out
// on them. The rows of a voucher are in several tables; here they are put together, in one place for all ways to ask.
//
// It decides nothing, and it does not ask who may see a voucher: that is up to the caller.
package vouchers
