package otelechobun

import (
	"context"
	"database/sql"
	"errors"
	"reflect"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/echobun/echobun"
)

// failureOf describes an error. It is nil for none, and for no rows.
func failureOf(err error) []attribute.KeyValue {
	if err == nil || errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if code := statusCode(err); code != "" {
		return []attribute.KeyValue{semconv.ErrorTypeKey.String(code), semconv.DBResponseStatusCode(code)}
	}
	for _, kind := range kinds {
		if errors.Is(err, kind.err) {
			return []attribute.KeyValue{semconv.ErrorTypeKey.String(kind.name)}
		}
	}
	return []attribute.KeyValue{semconv.ErrorType(innermost(err))}
}

// kinds are the names of errors that do not come from the server.
var kinds = []struct {
	err  error
	name string
}{
	{echobun.ErrPoolTimeout, "pool_timeout"},
	{echobun.ErrClosed, "closed"},
	{context.DeadlineExceeded, "deadline_exceeded"},
	{context.Canceled, "canceled"},
	{sql.ErrTxDone, "transaction_done"},
	{echobun.ErrOutcomeUnknown, "outcome_unknown"},
	{echobun.ErrUnavailable, "unavailable"},
}

// innermost returns the error that the others wrap.
func innermost(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// statusCode returns what the database calls the error: the SQLSTATE of
// PostgreSQL, the number of MySQL or of SQLite. It is empty if the error does
// not come from there. It needs none of their drivers, so that an application
// has only those that it imports.
func statusCode(err error) string {
	var pg interface{ SQLState() string }
	if errors.As(err, &pg) {
		return pg.SQLState()
	}
	if lite, ok := errors.AsType[interface {
		error
		Code() int
	}](err); ok {
		return strconv.Itoa(lite.Code())
	}
	return mysqlNumber(err)
}

// mysqlNumber returns the number of a go-sql-driver/mysql error, which has it
// in a field.
func mysqlNumber(err error) string {
	switch v := reflect.Indirect(reflect.ValueOf(err)); {
	case !v.IsValid():
		return ""
	case v.Type().Name() == "MySQLError" && v.Kind() == reflect.Struct:
		if number := v.FieldByName("Number"); number.IsValid() && number.CanUint() {
			return strconv.FormatUint(number.Uint(), 10)
		}
	}
	switch wrapper := err.(type) { //nolint:errorlint // It goes through all that errors.As does.
	case interface{ Unwrap() error }:
		return mysqlNumber(wrapper.Unwrap())
	case interface{ Unwrap() []error }:
		for _, inner := range wrapper.Unwrap() {
			if number := mysqlNumber(inner); number != "" {
				return number
			}
		}
	}
	return ""
}

func isDone(err error) bool { return errors.Is(err, sql.ErrTxDone) }
