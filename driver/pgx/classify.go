package pgx

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	jackc "github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/wire"
)

// classes are the SQLSTATE codes that mean something to echobun.
var classes = map[string]driver.Class{
	"23505": driver.Unique,
	"23503": driver.ForeignKey,
	"2BP01": driver.ForeignKey, // Something depends on what is to be dropped.
	"23502": driver.NotNull,
	"23514": driver.Check,
	"40001": driver.Serialization | driver.DoomsTx, // serialization_failure
	"40P01": driver.Serialization | driver.DoomsTx, // deadlock_detected
	"55P03": driver.Serialization,                  // lock_not_available
	"22001": driver.InvalidValue,                   // string_data_right_truncation
	"22003": driver.InvalidValue,                   // numeric_value_out_of_range
	"22007": driver.InvalidValue,                   // invalid_datetime_format
	"22008": driver.InvalidValue,                   // datetime_field_overflow
	"22009": driver.InvalidValue,                   // invalid_time_zone_displacement_value
	"22018": driver.InvalidValue,                   // invalid_character_value_for_cast
	"22021": driver.InvalidValue,                   // character_not_in_repertoire
	"22026": driver.InvalidValue,                   // string_data_length_mismatch
	"22P02": driver.InvalidValue,                   // invalid_text_representation
	"22P03": driver.InvalidValue,                   // invalid_binary_representation
	"22P05": driver.InvalidValue,                   // untranslatable_character
	"25006": driver.ReadOnly,                       // read_only_sql_transaction
	"53100": driver.Unavailable,                    // disk_full
	"53300": driver.Unavailable,                    // too_many_connections
}

// codeDatatypeMismatch also says that two columns do not go together, when a
// table is made.
const codeDatatypeMismatch = "42804"

// unavailable are the beginnings of codes of a server that is not there:
// connection exceptions, and operator interventions such as a shutdown.
var unavailable = []string{classConnection, "57P"}

// Classify explains an error of this driver.
func (postgres) Classify(err error) driver.Class {
	if err == nil {
		return 0
	}
	if wire.IsOutcomeUnknown(err) {
		return driver.OutcomeUnknown
	}
	if class, ok := classifyOwn(err); ok {
		return class
	}
	if pgErr := serverError(err); pgErr != nil {
		return classifyServer(pgErr)
	}
	if isContext(err) {
		return 0
	}
	var netErr net.Error
	if errors.Is(err, sqldriver.ErrBadConn) || errors.Is(err, pgconn.ErrConnClosed) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &netErr) {
		return driver.Unavailable
	}
	return 0
}

// classifyOwn explains the errors that this package makes.
func classifyOwn(err error) (driver.Class, bool) {
	var (
		connect *connectError
		lost    *lostError
		stale   *staleError
	)
	switch {
	case wire.IsRefusedParameter(err):
		return 0, true // The server is there.
	case errors.As(err, &connect):
		return driver.Unavailable, true
	case errors.As(err, &lost) && errors.Is(err, context.Canceled):
		return driver.DoomsTx, true // Nobody waited for the server to answer.
	case errors.As(err, &lost):
		return driver.DoomsTx | driver.Unavailable, true
	case errors.As(err, &stale) && stale.inTx:
		return driver.DoomsTx | driver.Serialization, true
	case errors.As(err, &stale):
		return driver.Serialization, true
	case errors.Is(err, jackc.ErrTxCommitRollback):
		return driver.DoomsTx, true
	}
	return 0, false
}

func classifyServer(err *pgconn.PgError) driver.Class {
	class := classes[err.Code]
	for _, prefix := range unavailable {
		if strings.HasPrefix(err.Code, prefix) {
			class |= driver.Unavailable
		}
	}
	if err.Code == codeDatatypeMismatch && err.Routine == "transformAssignedExpr" {
		class |= driver.InvalidValue // For a column of another type.
	}
	severity := err.SeverityUnlocalized
	if severity == "" {
		severity = err.Severity // Of a server before 9.6.
	}
	if severity == "FATAL" || severity == "PANIC" {
		class |= driver.DoomsTx // The server has closed the connection.
	}
	return class
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
