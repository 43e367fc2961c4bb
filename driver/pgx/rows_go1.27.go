//go:build go1.27

package pgx

// NextRow is what database/sql calls in place of Next as of Go 1.27, where
// pgx's rows implement driver.RowsColumnScanner.
func (r *rows) NextRow() error {
	return r.explain(r.Rows.NextRow())
}
