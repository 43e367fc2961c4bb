package wire

// A TransactionTeller is a driver's connection that knows from the server's
// last answer whether it is in a transaction.
type TransactionTeller interface{ InTransaction() bool }
