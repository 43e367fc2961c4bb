package otelechobun

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/sqltext"
)

// An operation is what a statement does.
type operation struct {
	name  string // "SELECT". Empty if it does several things.
	table string // Empty if there is none, or none that is known.
	text  string // The statement without arguments. Empty if that is not what is sent.
}

// operationOf says what a statement does.
func operationOf(ctx context.Context, event *bun.QueryEvent) operation {
	if b := driver.BranchOf(ctx); b != nil && b.Prepare && isPlain(event, "COMMIT") {
		return operation{name: "PREPARE"}
	}
	op := operation{text: sqltext.Template(event)}
	if _, raw := event.IQuery.(*bun.RawQuery); event.IQuery == nil || raw {
		if !strings.Contains(strings.TrimRight(op.text, "; \t\r\n"), ";") {
			op.name = sqltext.Operation(op.text)
		}
		return op
	}
	op.name = event.IQuery.Operation()
	op.table = name(event.IQuery.GetTableName(), string(event.DB.Dialect().IdentQuote()))
	return op
}

// name returns what Bun says is the name of a table, unless it is something
// else: it may be any expression, with the arguments in it.
func name(s, quote string) string {
	s = strings.ReplaceAll(s, quote, "")
	for _, r := range s {
		letter := 'a' <= r|0x20 && r|0x20 <= 'z' || r == '_' || r == '.' || r == '$' || r >= utf8.RuneSelf
		if !letter && (r < '0' || '9' < r) {
			return ""
		}
	}
	if s == "" || '0' <= s[0] && s[0] <= '9' {
		return ""
	}
	return s
}

// attrs are what spans and metrics have in common.
func (op operation) attrs(event *bun.QueryEvent) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 8)
	attrs = append(attrs, systemOf(event.DB))
	if op.name != "" {
		attrs = append(attrs, semconv.DBOperationName(op.name))
	}
	if op.table != "" {
		attrs = append(attrs, semconv.DBCollectionName(op.table))
	}
	return attrs
}

// spanName is the operation and what it is done to: the table, or else the
// database, or else the server. What does several things has that alone.
func (op operation) spanName(event *bun.QueryEvent, attrs []attribute.KeyValue) string {
	what := op.table
	if what == "" {
		what = target(attrs)
	}
	if what = strings.TrimSpace(op.name + " " + what); what != "" {
		return what
	}
	return systemOf(event.DB).Value.AsString()
}

// target is the database or the server that attrs name, or "".
func target(attrs []attribute.KeyValue) string {
	set := attribute.NewSet(slices.Clone(attrs)...) // It sorts what it is given.
	if database, ok := set.Value(semconv.DBNamespaceKey); ok {
		return database.AsString()
	}
	address, _ := set.Value(semconv.ServerAddressKey)
	if port, ok := set.Value(semconv.ServerPortKey); ok {
		return net.JoinHostPort(address.AsString(), strconv.FormatInt(port.AsInt64(), 10))
	}
	return address.AsString()
}

// maxText is the longest text of a statement in a span, in bytes.
const maxText = 8 << 10

// textOf is the attribute with the text of a statement.
func textOf(text string) attribute.KeyValue {
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "..."
	}
	return semconv.DBQueryText(text)
}

// systemOf names the kind of database. A MariaDB server is MySQL to its client.
func systemOf(db *bun.DB) attribute.KeyValue {
	switch db.Dialect().Name() {
	case dialect.PG:
		return semconv.DBSystemNamePostgreSQL
	case dialect.MySQL:
		return semconv.DBSystemNameMySQL
	case dialect.SQLite:
		return semconv.DBSystemNameSQLite
	case dialect.MSSQL:
		return semconv.DBSystemNameMicrosoftSQLServer
	case dialect.Oracle:
		return semconv.DBSystemNameOracleDB
	}
	return semconv.DBSystemNameOtherSQL
}
