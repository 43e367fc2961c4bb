package echobun

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/uptrace/bun/dialect"

	"github.com/echobun/echobun/internal/sqltext"
)

// A view is a connection that shares the isolated one. A transaction on it is
// a savepoint, and so is each statement outside of one: a failed statement
// would end the whole transaction on PostgreSQL.
//
// It has no ResetSession: there is one session for all.
type view struct {
	i         *isolation
	savepoint string // Of its transaction; empty outside of one.
}

var (
	_ driver.ExecerContext      = (*view)(nil)
	_ driver.QueryerContext     = (*view)(nil)
	_ driver.ConnBeginTx        = (*view)(nil)
	_ driver.ConnPrepareContext = (*view)(nil)
	_ driver.NamedValueChecker  = (*view)(nil)
	_ driver.Pinger             = (*view)(nil)
	_ driver.Validator          = (*view)(nil)
)

func (v *view) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (res driver.Result, err error) {
	err = v.alone(ctx, query, func(ctx context.Context) error {
		res, err = v.i.base.execAny(ctx, query, args)
		return err
	})
	if err != nil {
		return nil, err
	}
	return res, nil
}

func (v *view) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	err = v.alone(ctx, query, func(ctx context.Context) error {
		rows, err = v.i.base.queryAny(ctx, query, args)
		return err
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// alone runs a statement in the view's transaction, or in a savepoint of its own.
func (v *view) alone(ctx context.Context, query string, run func(context.Context) error) error {
	i := v.i
	if err := i.refusal(query); err != nil {
		return err
	}
	if v.savepoint != "" {
		return i.goOn(i.enduring(ctx, query), run)
	}
	if err := i.take(ctx); err != nil {
		return err
	}
	defer i.give()
	if err := ctx.Err(); err != nil {
		return err
	}
	return i.try(i.enduring(ctx, query), run)
}

// enduring returns the context for a statement. SQLite rolls the whole
// transaction back if one that writes is interrupted, so none is.
func (i *isolation) enduring(ctx context.Context, query string) context.Context {
	if !i.is(dialect.SQLite) || onlyReads(query) {
		return ctx
	}
	return context.WithoutCancel(ctx)
}

// onlyReads reports whether a statement of SQLite writes nothing for certain.
func onlyReads(query string) bool {
	switch operation(query) {
	case "SELECT", "VALUES", "EXPLAIN":
		return true
	case "WITH":
		query = strings.ToUpper(query)
		for _, word := range []string{"INSERT", "UPDATE", "DELETE", "REPLACE"} {
			if strings.Contains(query, word) {
				return false
			}
		}
		return true
	}
	return false
}

// refusal returns why a text cannot run, as far as the first words of its
// statements tell: it would end the isolation, and leave what the test wrote.
func (i *isolation) refusal(query string) error {
	switch op, how := i.e.ending(query); how {
	case sqltext.Controls:
		return errors.New("an isolated test cannot control transactions by SQL: use RunInTx or BeginTx")
	case sqltext.Commits:
		return fmt.Errorf("%s would commit the isolated test, as DDL does on MySQL and MariaDB: do it before Isolate", op)
	default:
		return nil
	}
}

// BeginTx sets a savepoint. Options are the isolated transaction's.
func (v *view) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	if err := v.i.take(ctx); err != nil {
		return nil, err
	}
	name, err := v.i.mark(ctx)
	if err != nil {
		v.i.give()
		return nil, err
	}
	v.savepoint = name
	return v, nil
}

func (v *view) Begin() (driver.Tx, error) {
	return v.BeginTx(context.Background(), driver.TxOptions{})
}

func (v *view) Commit() error { return v.end((*isolation).keepLocked) }

// Rollback rolls back. The end of the isolation has done so already.
func (v *view) Rollback() error {
	err := v.end((*isolation).undoLocked)
	if errors.Is(err, errIsolationOver) {
		return nil
	}
	return err
}

// end ends the view's transaction, if there is one, and gives the turn back.
func (v *view) end(how func(*isolation, string) error) error {
	if v.savepoint == "" {
		return nil
	}
	defer v.i.give()
	name := v.savepoint
	v.savepoint = ""
	return v.i.use(context.Background(), func(context.Context) error { return how(v.i, name) })
}

// Ping asks the shared connection, in a savepoint like everything: on
// PostgreSQL one that is cancelled is a failed statement.
func (v *view) Ping(ctx context.Context) error {
	return v.alone(ctx, "ping", func(ctx context.Context) error { return v.i.base.Ping(ctx) })
}

func (v *view) CheckNamedValue(value *driver.NamedValue) error {
	return v.i.base.CheckNamedValue(value)
}

func (v *view) IsValid() bool { return v.savepoint == "" }

func (v *view) Close() error { return v.Rollback() }

// Unwrap returns the driver's connection.
func (v *view) Unwrap() driver.Conn { return v.i.base.Conn }

func (v *view) Prepare(query string) (driver.Stmt, error) {
	return v.PrepareContext(context.Background(), query)
}

// PrepareContext prepares a statement on the shared connection.
func (v *view) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s := &viewStmt{v: v}
	err := v.alone(ctx, query, func(ctx context.Context) error {
		base := v.i.base
		inner, err := base.prepare(ctx, query)
		if err != nil {
			return base.failed(ctx, operation(query), err)
		}
		s.stmt = &stmt{Stmt: inner, c: base, query: query}
		v.i.stmts[s] = struct{}{}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// viewStmt is a statement that a view has prepared.
type viewStmt struct {
	*stmt // Of the shared connection.

	v *view
}

var (
	_ driver.StmtExecContext  = (*viewStmt)(nil)
	_ driver.StmtQueryContext = (*viewStmt)(nil)
)

func (s *viewStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (res driver.Result, err error) {
	err = s.v.alone(ctx, s.query, func(ctx context.Context) error {
		res, err = s.stmt.ExecContext(ctx, args)
		return err
	})
	if err != nil {
		return nil, err
	}
	return res, nil
}

func (s *viewStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (rows driver.Rows, err error) {
	err = s.v.alone(ctx, s.query, func(ctx context.Context) error {
		inner, err := s.stmt.QueryContext(ctx, args)
		if err != nil {
			return err
		}
		rows, err = readAll(inner)
		return err
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// Close closes the statement, unless that was done with the connection.
func (s *viewStmt) Close() error {
	i := s.v.i
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, open := i.stmts[s]; !open {
		return nil
	}
	delete(i.stmts, s)
	return s.stmt.Close()
}
