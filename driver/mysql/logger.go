package mysql

import (
	"fmt"
	"log/slog"

	"github.com/echobun/echobun/driver"
)

// A logger takes what go-sql-driver would print to stderr. What matters of it
// comes as an error too.
type logger struct {
	slog *slog.Logger
	bind string
}

func newLogger(o driver.Options) *logger {
	l := o.Logger
	if l == nil {
		l = slog.Default()
	}
	return &logger{slog: l, bind: o.Bind}
}

// Print implements go-sql-driver's Logger.
func (l *logger) Print(v ...any) {
	l.slog.Debug("mysql: "+fmt.Sprint(v...), "bind", l.bind)
}
