package echobun

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/schema"
)

// statementLog is the query hook behind LogStatements: a record for each
// statement, with its template and never its arguments. Nor does it hold what
// the database quotes of them in an error: the caller gets that.
type statementLog struct {
	bind   string
	logger *slog.Logger
}

var _ bun.QueryHook = (*statementLog)(nil)

// BeforeQuery does nothing.
func (*statementLog) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

// AfterQuery writes the record.
func (l *statementLog) AfterQuery(ctx context.Context, event *bun.QueryEvent) {
	statement := template(event)
	attrs := []slog.Attr{
		slog.String("bind", l.bind),
		slog.String("op", operation(statement)),
		slog.String("statement", statement),
		slog.Duration("duration", time.Since(event.StartTime)),
	}
	if event.Result != nil {
		if n, err := event.Result.RowsAffected(); err == nil {
			attrs = append(attrs, slog.Int64("rows", n))
		}
	}
	if event.Err != nil && !errors.Is(event.Err, sql.ErrNoRows) {
		attrs = append(attrs, slog.String("error", reason(event.Err)))
	}
	l.logger.LogAttrs(ctx, slog.LevelInfo, "echobun: statement", attrs...)
}

// reason returns what an error says, without the values that it complains
// about, and without what the record's other attributes say.
func reason(err error) string {
	var bindErr *BindError
	if errors.As(err, &bindErr) {
		err = bindErr.Err
	}
	return scrubMessage(err.Error())
}

// template returns a statement with placeholders in place of its arguments,
// and of literals that it was written with.
func template(event *bun.QueryEvent) string {
	text := event.QueryTemplate
	if event.IQuery != nil {
		b, err := event.IQuery.AppendQuery(schema.NewQueryGen(templateDialect{event.DB.Dialect()}), nil)
		if err != nil {
			return event.IQuery.Operation()
		}
		text = string(b)
	}
	return scrub(text, event.DB.Dialect().IdentQuote() == '`')
}

// templateDialect makes Bun leave out arguments, as its own dialect for
// templates does, but quotes names as the database wants it.
type templateDialect struct{ schema.Dialect }

// Name tells Bun that there is no database.
func (templateDialect) Name() dialect.Name { return dialect.Invalid }
