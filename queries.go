package echobun

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/echobun/echobun/internal/sqltext"
)

const (
	// maxQueries is how many statements an app context keeps.
	maxQueries = 1000

	// maxQueryText is how many bytes of text they may have together: an app
	// context may live for as long as the application.
	maxQueryText = 16 << 20
)

// A QueryRecord is a statement that was sent to a database; see
// [Session.Queries]. Flask-SQLAlchemy has the same in get_recorded_queries.
type QueryRecord struct {
	// Bind is the bind key.
	Bind string

	// Op is what the statement does: "SELECT", "CREATE TABLE", "COMMIT". Of a
	// two-phase transaction it is "PREPARE", "COMMIT" or "ROLLBACK" on every
	// database; Template says how that is said there.
	Op string

	// Template is the statement with a placeholder for each argument.
	Template string

	// Query is the statement as it was sent, with its arguments. It is empty
	// unless Config.LogArgs is set.
	Query string

	// Start is when it was sent, or began to wait for a connection. The BEGIN
	// or the savepoint that comes before a transaction's first statement has a
	// record of its own.
	Start time.Time

	// Duration is how long it took, with the reading of its rows where Bun
	// reads them into a model.
	Duration time.Duration

	// Rows is how many rows it has returned or changed, -1 if that is not known.
	Rows int64

	// Err is why it failed, or nil. That there were no rows is no failure.
	Err error

	// Caller is the line of the application that it comes from, as
	// "file:line". It is empty if there is none on the goroutine's stack.
	Caller string
}

// text is the statement as far as it may be shown.
func (r *QueryRecord) text() string {
	if r.Query != "" {
		return r.Query
	}
	return r.Template
}

// reason is what Err says. Where arguments must not be shown, nor are the
// values that the database complains about.
func (r *QueryRecord) reason() string {
	err := r.Err
	var bindErr *BindError
	if errors.As(err, &bindErr) {
		err = bindErr.Err
	}
	if r.Query != "" {
		return err.Error()
	}
	return sqltext.Reason(err)
}

// Queries returns the statements that were sent in the session's app context
// so far, on all binds, in the order in which they ended; BEGIN and COMMIT are
// among them. It returns the first 1,000, and how many were dropped after
// them; they have at most 16 MiB of text, those of errors among them. Without
// Config.RecordQueries there are none.
//
// A statement of a [bun.Tx] is missing if its context is not from the app context.
//
// All sessions of an app context, such as those of its transactions, return
// the same. It also works after the app context has ended.
func (s *Session) Queries() (records []QueryRecord, dropped int) { return s.app.queries.all() }

// queries are the statements of an app context. The zero value is empty. It
// is safe for concurrent use.
type queries struct {
	mu      sync.Mutex // Protects what follows.
	records []QueryRecord
	size    int // Of their texts.
	dropped int
}

func (q *queries) add(r QueryRecord) {
	size := r.size()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.dropped > 0 || len(q.records) == maxQueries || q.size+size > maxQueryText {
		q.dropped++ // The first ones are kept: no gap hides among them.
		return
	}
	q.size += size
	q.records = append(q.records, r)
}

// size is how many bytes the texts of a record take.
func (r *QueryRecord) size() int {
	n := len(r.Template) + len(r.Query) + len(r.Caller)
	if r.Err != nil {
		n += len(r.Err.Error())
	}
	return n
}

func (q *queries) all() (records []QueryRecord, dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.records), q.dropped
}
