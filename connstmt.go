package echobun

import (
	"context"
	"database/sql/driver"
	"fmt"
)

// stmt is a driver's prepared statement.
type stmt struct {
	driver.Stmt

	c     *conn
	query string
}

var (
	_ driver.StmtExecContext   = (*stmt)(nil)
	_ driver.StmtQueryContext  = (*stmt)(nil)
	_ driver.NamedValueChecker = (*stmt)(nil)
	_ driver.ColumnConverter   = (*stmt)(nil) //nolint:staticcheck // Drivers still have it.
)

func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (res driver.Result, err error) {
	returned := false
	defer s.c.caught(s.query, &returned, &err)
	res, err = s.exec(ctx, args)
	returned = true
	return res, err
}

func (s *stmt) exec(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	// It may have been prepared before the transaction.
	if err := cmpError(s.c.mayWork(), s.c.mayRun(s.query)); err != nil {
		return nil, s.c.refused(operation(s.query), err)
	}
	start := s.c.clock()
	res, err := execStmt(ctx, s.Stmt, args)
	s.c.timed(start, err)
	if err != nil {
		return nil, s.c.refused(operation(s.query), err)
	}
	s.c.e.contact.answered()
	return res, nil
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (rows driver.Rows, err error) {
	returned := false
	defer s.c.caught(s.query, &returned, &err)
	rows, err = s.queryRows(ctx, args)
	returned = true
	return rows, err
}

func (s *stmt) queryRows(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	// It may have been prepared before the transaction.
	if err := cmpError(s.c.mayWork(), s.c.mayRun(s.query)); err != nil {
		return nil, s.c.refused(operation(s.query), err)
	}
	start := s.c.clock()
	inner, err := queryStmt(ctx, s.Stmt, args)
	s.c.timed(start, err)
	if err != nil {
		return nil, s.c.refused(operation(s.query), err)
	}
	s.c.e.contact.answered()
	return s.c.answer(ctx, s.query, inner)
}

func (s *stmt) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := s.Stmt.(driver.NamedValueChecker); ok {
		return s.c.checked(v, checker)
	}
	return s.c.CheckNamedValue(v)
}

func (s *stmt) ColumnConverter(i int) driver.ValueConverter {
	if converter, ok := s.Stmt.(driver.ColumnConverter); ok { //nolint:staticcheck // Drivers still have it.
		return converter.ColumnConverter(i)
	}
	return driver.DefaultParameterConverter
}

func execStmt(ctx context.Context, s driver.Stmt, args []driver.NamedValue) (driver.Result, error) {
	if execer, ok := s.(driver.StmtExecContext); ok {
		return execer.ExecContext(ctx, args)
	}
	values, err := positional(ctx, args)
	if err != nil {
		return nil, err
	}
	return s.Exec(values) //nolint:staticcheck // The one way of a driver without contexts.
}

func queryStmt(ctx context.Context, s driver.Stmt, args []driver.NamedValue) (driver.Rows, error) {
	if queryer, ok := s.(driver.StmtQueryContext); ok {
		return queryer.QueryContext(ctx, args)
	}
	values, err := positional(ctx, args)
	if err != nil {
		return nil, err
	}
	return s.Query(values) //nolint:staticcheck // The one way of a driver without contexts.
}

// positional returns the arguments for a driver that knows neither names nor contexts.
func positional(ctx context.Context, args []driver.NamedValue) ([]driver.Value, error) {
	values := make([]driver.Value, len(args))
	for i, arg := range args {
		if arg.Name != "" {
			return nil, fmt.Errorf("the driver supports no named arguments: %q", arg.Name)
		}
		values[i] = arg.Value
	}
	return values, ctx.Err()
}
