package pgx_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver"
)

// TestExplain has messages of PostgreSQL's catalogues, and of functions.
func TestExplain(t *testing.T) {
	t.Parallel()
	unique := pgconn.PgError{Severity: "ERROR", Code: "23505", Routine: "_bt_check_unique", ConstraintName: "users_email_key", TableName: "users"}
	with := func(e pgconn.PgError, message string) *pgconn.PgError { e.Message = message; return &e }
	of := func(code, severity, message string) *pgconn.PgError {
		return &pgconn.PgError{Severity: severity, Code: code, Message: message, Routine: "pg_strtoint32"}
	}
	for _, test := range []struct {
		err  *pgconn.PgError
		want string
	}{
		{of("22P02", "ERROR", `invalid input syntax for type integer: "s3cr3t"`), "ERROR: invalid input syntax for type integer: ? (SQLSTATE 22P02)"},
		{of("22P02", "FEHLER", `ungültige Eingabesyntax für Typ integer: »s3cr3t«`), "ERROR: invalid text representation (SQLSTATE 22P02)"},
		{of("22P02", "ERREUR", `syntaxe en entrée invalide pour le type integer : « s3cr3t »`), "ERROR: invalid text representation (SQLSTATE 22P02)"},
		{of("22P02", "ERROR", `la sintaxis de entrada no es válida para tipo integer: «s3cr3t»`), "ERROR: invalid text representation (SQLSTATE 22P02)"},
		{of("22008", "エラー", `日付時刻のフィールドが範囲外です: "s3cr3t"`), "ERROR: datetime field overflow (SQLSTATE 22008)"},
		{of("22001", "ERROR", "value too long for type character varying(10)"), "ERROR: value too long for type character varying(?) (SQLSTATE 22001)"},
		{of("22003", "ERROR", `value "99999" is out of range for type smallint`), "ERROR: value ? is out of range for type smallint (SQLSTATE 22003)"},
		{of("22021", "ERROR", `invalid byte sequence for encoding "UTF8": 0xe9 0x73`), "ERROR: character not in repertoire (SQLSTATE 22021)"},
		{of("42703", "ERROR", `column "emial" does not exist`), "ERROR: column ? does not exist (SQLSTATE 42703)"},
		{of("42P01", "ERROR", `relation "nowhere" does not exist`), "ERROR: relation ? does not exist (SQLSTATE 42P01)"},
		{of("42601", "ERROR", `syntax error at or near "s3cr3t"`), "ERROR: syntax error at or near ? (SQLSTATE 42601)"},
		{of("40001", "ERROR", "could not serialize access due to concurrent update"), "ERROR: could not serialize access due to concurrent update (SQLSTATE 40001)"},
		{of("57014", "ERROR", "canceling statement due to statement timeout"), "ERROR: canceling statement due to statement timeout (SQLSTATE 57014)"},
		{
			with(unique, `duplicate key value violates unique constraint "users_email_key"`),
			`ERROR: duplicate key value violates unique constraint "users_email_key" (SQLSTATE 23505)`,
		},
		{
			with(unique, `doppelter Schlüsselwert verletzt Unique-Constraint »users_email_key«`),
			`ERROR: unique violation, constraint "users_email_key", table "users" (SQLSTATE 23505)`,
		},
		{
			&pgconn.PgError{
				Severity: "ERROR", Code: "23502", ColumnName: "email", TableName: "users", Routine: "ExecConstraints",
				Message: `null value in column "email" of relation "users" violates not-null constraint`,
			},
			`ERROR: null value in column "email" of relation "users" violates not-null constraint (SQLSTATE 23502)`,
		},
		// What a function raises may be anything, in any field.
		{
			&pgconn.PgError{Severity: "ERROR", Code: "P0001", Message: "no value for s3cr3t", Routine: "exec_stmt_raise"},
			"ERROR: raised by a function (SQLSTATE P0001)",
		},
		{
			&pgconn.PgError{Severity: "ERROR", Code: "23505", Message: "key is null", ColumnName: "s3cr3t", Routine: "exec_stmt_raise"},
			"ERROR: unique violation (SQLSTATE 23505)",
		},
		{&pgconn.PgError{Severity: "s3cr3t", Code: "s3cr3t", Message: "s3cr3t"}, "ERROR: error (SQLSTATE ?)"},
		{&pgconn.PgError{Severity: "FATAL", Code: "ZZ123", Message: "s3cr3t"}, "FATAL: error (SQLSTATE ZZ123)"},
	} {
		got, ok := explainer().Explain(test.err)
		require.True(t, ok)
		require.Equal(t, test.want, got)
	}
	_, ok := explainer().Explain(errors.New("another"))
	require.False(t, ok)
}

func explainer() driver.Explainer {
	e, _ := driver.Drivers()["postgresql"].(driver.Explainer)
	return e
}
