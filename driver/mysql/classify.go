package mysql

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"io"
	"strings"

	gomysql "github.com/go-sql-driver/mysql"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/wire"
)

// Numbers of server errors that are looked for by name.
const (
	errOptionPrevents   = 1290
	errQueryInterrupted = 1317
	errConnectionKilled = 1927
)

// classes are the kinds of server errors by number. A deadlock ends the
// transaction; a lock that was not granted in time does with
// innodb_rollback_on_timeout, which cannot be seen from here.
var classes = map[uint16]driver.Class{
	1062: driver.Unique, // Duplicate entry.
	1169: driver.Unique, // The same, from engines that do not name the key.
	1586: driver.Unique, // The same, with the key's name.
	1859: driver.Unique, // The same, in an unknown index.

	1216: driver.ForeignKey, // A child without parent.
	1217: driver.ForeignKey, // A parent with children.
	1451: driver.ForeignKey, // The same two, with the constraint's name.
	1452: driver.ForeignKey,
	3730: driver.ForeignKey, // A DROP of a table that another refers to.

	1048: driver.NotNull, // NULL for a column.
	1263: driver.NotNull, // The same, in LOAD DATA.
	1364: driver.NotNull, // No value for a column without default.

	3819: driver.Check, // MySQL.
	4025: driver.Check, // MariaDB.

	1264: driver.InvalidValue, // Out of range.
	1265: driver.InvalidValue, // Would be cut.
	1292: driver.InvalidValue, // No such date, or not of this type.
	1300: driver.InvalidValue, // Not in the character set.
	1366: driver.InvalidValue, // No such number, or not in the character set.
	1367: driver.InvalidValue, // No such number.
	1406: driver.InvalidValue, // Too long.
	3140: driver.InvalidValue, // No JSON.
	3144: driver.InvalidValue, // Bytes are no JSON.

	1020:             driver.Serialization | driver.DoomsTx, // MariaDB's innodb_snapshot_isolation.
	1205:             driver.Serialization | driver.DoomsTx, // Lock wait.
	1213:             driver.Serialization | driver.DoomsTx, // Deadlock, and a conflict within a Galera cluster.
	errXARollback:    driver.DoomsTx,
	errXARollbackOut: driver.Serialization | driver.DoomsTx,
	errXADeadlock:    driver.Serialization | driver.DoomsTx,

	1412: driver.Serialization, // The table's definition has changed.
	3058: driver.Serialization, // Deadlock of user-level locks.
	3572: driver.Serialization, // NOWAIT.

	1036: driver.ReadOnly, // The table.
	1223: driver.ReadOnly, // FLUSH TABLES WITH READ LOCK.
	1792: driver.ReadOnly, // The transaction.
	1836: driver.ReadOnly, // The server.
	1874: driver.ReadOnly, // InnoDB.

	1021:                driver.Unavailable, // The disk is full.
	1114:                driver.Unavailable, // The table is full, or the disk.
	1040:                driver.Unavailable, // Too many connections.
	1047:                driver.Unavailable, // A Galera node without quorum.
	1053:                driver.Unavailable, // Shutdown.
	1129:                driver.Unavailable, // Too many connection errors from this host.
	1152:                driver.Unavailable, // Aborted connection.
	1158:                driver.Unavailable, // Network errors that the server saw.
	1159:                driver.Unavailable,
	1160:                driver.Unavailable,
	1161:                driver.Unavailable,
	1203:                driver.Unavailable, // Too many connections of this user.
	1226:                driver.Unavailable, // The same, by the user's own limits.
	3168:                driver.Unavailable, // The server is not ready.
	4031:                driver.Unavailable, // Idle for too long.
	errConnectionKilled: driver.Unavailable,
}

// classify says what kind of failure err is.
func classify(err error) driver.Class {
	if err == nil {
		return 0
	}
	if wire.IsOutcomeUnknown(err) {
		return driver.OutcomeUnknown
	}
	var server *gomysql.MySQLError
	if errors.As(err, &server) {
		return classifyServer(server)
	}
	var own *ddlError
	if errors.As(err, &own) {
		return own.class
	}
	var day *dayError
	if errors.As(err, &day) {
		return driver.InvalidValue
	}
	var silent *silentError
	if errors.As(err, &silent) && !errors.Is(err, context.Canceled) {
		return driver.Unavailable
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return 0 // They are net.Errors too.
	}
	if isLost(err) || errors.Is(err, sqldriver.ErrBadConn) || errors.Is(err, io.EOF) {
		return driver.Unavailable
	}
	return 0
}

func classifyServer(err *gomysql.MySQLError) driver.Class {
	if err.Number == errOptionPrevents {
		// The option's name is the same in every language.
		if strings.Contains(err.Message, "read-only") || strings.Contains(err.Message, "read_only") {
			return driver.ReadOnly
		}
		return 0
	}
	return classes[err.Number]
}
