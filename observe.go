package echobun

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/bridge"
)

// An observer is the query hook of an engine that watches its statements, for
// the statement log and for the record that sessions keep.
type observer struct {
	x       *Extension
	bind    string
	log     bool          // Every statement.
	slow    time.Duration // Those that take as long, as warnings. Zero means none.
	args    bool          // Show their arguments.
	records bool          // Keep them with their session.
}

var _ bun.QueryHook = (*observer)(nil)

// newObserver returns the observer that a bind's options ask for, or nil.
func newObserver(x *Extension, bind string, opts EngineOptions, cfg Config) *observer {
	o := &observer{x: x, bind: bind, log: cfg.LogStatements, slow: max(cfg.SlowQuery, 0), args: cfg.LogArgs, records: cfg.RecordQueries}
	if opts.LogStatements != nil {
		o.log = *opts.LogStatements
	}
	if !o.log && o.slow == 0 && !o.records {
		return nil
	}
	return o
}

// BeforeQuery has the session say whose the statement is, and when it sends it.
func (o *observer) BeforeQuery(ctx context.Context, event *bun.QueryEvent) context.Context {
	return bridge.Watch(ctx, event)
}

// AfterQuery logs and records the statement.
func (o *observer) AfterQuery(ctx context.Context, event *bun.QueryEvent) {
	start := bridge.StartOf(ctx, event)
	took := time.Since(start)
	slow := o.slow > 0 && took >= o.slow
	if !o.log && !slow && !o.records {
		return
	}
	r := o.record(ctx, event)
	r.Start, r.Duration = start, took
	if o.log || slow {
		o.write(ctx, &r, slow)
	}
	if !o.records {
		return
	}
	if s := o.session(ctx); s != nil {
		r.Caller = caller()
		s.app.queries.add(r)
	}
}

// record describes the statement.
func (o *observer) record(ctx context.Context, event *bun.QueryEvent) QueryRecord {
	r := QueryRecord{Bind: o.bind, Template: template(event), Rows: -1}
	switch {
	case isPrepare(ctx, event):
		r.Template = prepareStatement(event.DB)
	case o.args:
		r.Query = event.Query
	}
	r.Op = stepOf(operation(r.Template))
	if event.Result != nil {
		if n, err := event.Result.RowsAffected(); err == nil {
			r.Rows = n
		}
	}
	if !errors.Is(event.Err, sql.ErrNoRows) {
		r.Err = event.Err
	}
	return r
}

// isPrepare reports whether what Bun takes for a COMMIT prepares the
// transaction: the driver sends something else then.
func isPrepare(ctx context.Context, event *bun.QueryEvent) bool {
	if event.IQuery != nil || event.Query != "COMMIT" {
		return false
	}
	b := driver.BranchOf(ctx)
	return b != nil && b.Prepare
}

// prepareStatement is what is sent.
func prepareStatement(db *bun.DB) string {
	if db.Dialect().Name() == dialect.MySQL {
		return "XA PREPARE ?"
	}
	return "PREPARE TRANSACTION ?"
}

// stepOf gives the steps of a two-phase transaction one name on every database.
func stepOf(op string) string {
	switch op {
	case "PREPARE TRANSACTION", "XA PREPARE":
		return "PREPARE"
	case "COMMIT PREPARED", "XA COMMIT":
		return "COMMIT"
	case "ROLLBACK PREPARED", "XA ROLLBACK":
		return "ROLLBACK"
	}
	return op
}

// session returns the session that has sent the statement of ctx, or else the
// one that ctx carries, or nil.
func (o *observer) session(ctx context.Context) *Session {
	if st := bridge.StatementOf(ctx); st != nil {
		if s, ok := st.Session.(*Session); ok {
			return s
		}
	}
	s, _ := ctx.Value(sessionKey{o.x}).(*Session)
	return s
}

// write writes the log record. It holds neither the values of the statement,
// unless they are asked for, nor what the database quotes of them in an error:
// the caller gets that.
func (o *observer) write(ctx context.Context, r *QueryRecord, slow bool) {
	attrs := make([]slog.Attr, 0, 6)
	attrs = append(attrs,
		slog.String("bind", r.Bind),
		slog.String("op", r.Op),
		slog.String("statement", r.text()),
		slog.Duration("duration", r.Duration))
	if r.Rows >= 0 {
		attrs = append(attrs, slog.Int64("rows", r.Rows))
	}
	if r.Err != nil {
		attrs = append(attrs, slog.String("error", r.reason()))
	}
	level, message := slog.LevelInfo, "echobun: statement"
	if slow {
		level, message = slog.LevelWarn, "echobun: slow statement"
	}
	o.x.logger.LogAttrs(ctx, level, message, attrs...)
}

// sends tells the hooks that watch a statement which session sends it, and in
// which branch of a transaction, if it is in one.
func (h *handle) sends(ctx context.Context, query string, b *branch) (context.Context, time.Time) {
	return h.s.claims(ctx, h.e, query, b), h.s.app.clock()
}

// claims returns the context in which a statement is the session's, whatever
// context it was sent with.
func (s *Session) claims(ctx context.Context, e *engine, query string, b *branch) context.Context {
	switch {
	case !e.hooked:
		return ctx
	case b == nil:
		return bridge.Claim(ctx, query, s, nil)
	}
	return bridge.Claim(ctx, query, s, b)
}
