package mysql

import (
	sqldriver "database/sql/driver"
	"errors"
	"reflect"
)

// Flags of the server's status, which comes with each of its replies.
const (
	statusInTransaction = 1 << 0
	statusAutocommit    = 1 << 1
)

// A status reads what the server last said of the session. Only it knows of
// every transaction: a stored procedure can begin one too. Go-sql-driver
// keeps the status in a field that it does not export, and reading it needs
// neither unsafe nor a copy.
type status struct{ field reflect.Value }

var errNoStatus = errors.New("this version of go-sql-driver/mysql keeps the session's status elsewhere: use v1.10")

func statusOf(c sqldriver.Conn) (status, error) {
	v := reflect.ValueOf(c)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return status{}, errNoStatus
	}
	field := v.Elem().FieldByName("status")
	if field.Kind() != reflect.Uint16 {
		return status{}, errNoStatus
	}
	return status{field}, nil
}

// inTx reports whether what is written now waits for a COMMIT.
func (s status) inTx() bool {
	flags := s.field.Uint()
	return flags&statusInTransaction != 0 || flags&statusAutocommit == 0
}
