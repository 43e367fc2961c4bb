package echobun

import (
	"errors"
	"fmt"
	"strings"

	"github.com/uptrace/bun"

	"github.com/echobun/echobun/internal/sqltext"
)

// template returns a statement with placeholders in place of its arguments,
// and of literals that it was written with.
func template(event *bun.QueryEvent) string { return sqltext.Template(event) }

// operation names what a statement does: "SELECT", "CREATE TABLE".
func operation(query string) string { return sqltext.Operation(query) }

// reason is what an error says, for the log: without what a database quotes of
// a statement's values, unless that is asked for.
func (x *Extension) reason(err error) string {
	if x.logArgs {
		return err.Error()
	}
	return scrubbed(err)
}

// panicked is what a panic says, for the log: as reason, if it is an error.
func (x *Extension) panicked(p any) string {
	if err, ok := p.(error); ok {
		return x.reason(err)
	}
	return fmt.Sprint(p)
}

// scrubbed is what an error says without what a database quotes. The bind and
// the operation stay.
func scrubbed(err error) string {
	var texts []string
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, each := range joined.Unwrap() {
			texts = append(texts, scrubbed(each))
		}
		return strings.Join(texts, "; ")
	}
	var bindErr *BindError
	if errors.As(err, &bindErr) {
		return bindName(bindErr.Bind) + ": " + bindErr.Op + ": " + sqltext.Reason(bindErr.Err)
	}
	return sqltext.Reason(err)
}
