package mysql

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/echobun/echobun/internal/wire"
)

// An INSERT of several rows tells the key of the first alone. The others are
// auto_increment_increment apart, a variable that a session may set at any time.

// unknownStep is one that the server may change between two statements.
const unknownStep = -1

// keyStep returns how far the keys that an INSERT counts are apart, for a
// statement that asks. The server is asked the first time, and again after a
// statement that may have set another step.
func (c *conn) keyStep(ctx context.Context) (int64, error) {
	if c.step == 0 && wire.AsksKeyStep(ctx) {
		var err error
		if c.step, err = c.askStep(ctx); err != nil {
			return 0, fmt.Errorf("mysql: ask for auto_increment_increment: %w", err)
		}
	}
	return c.step, nil
}

// askStep asks for the step. In a Galera cluster each statement begins with the
// global one, which changes as nodes come and go.
func (c *conn) askStep(ctx context.Context) (step int64, err error) {
	rows, err := c.QueryContext(ctx, "SHOW SESSION VARIABLES WHERE Variable_name IN ('auto_increment_increment', 'wsrep_on')", nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for row := make([]sqldriver.Value, 2); ; {
		if err := rows.Next(row); errors.Is(err, io.EOF) {
			return step, nil
		} else if err != nil {
			return 0, err
		}
		switch name, value := textOf(row[0]), textOf(row[1]); {
		case name == "wsrep_on" && value == "ON":
			step = unknownStep
		case name != "wsrep_on" && step == 0:
			if step, err = strconv.ParseInt(value, 10, 64); err != nil {
				return 0, err
			}
		}
	}
}

// forgetStep is called before a statement is sent.
func (c *conn) forgetStep(query string, leaves bool) {
	if c.step != 0 && (leaves || mayEndInside(query)) {
		c.step = 0
	}
}

func textOf(v sqldriver.Value) string {
	if b, ok := v.([]byte); ok {
		return string(b)
	}
	s, _ := v.(string)
	return s
}
