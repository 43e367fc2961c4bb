package echobun_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// mariadbLanguages are those that a MariaDB server has messages in.
var mariadbLanguages = strings.Fields("en_US de_DE fr_FR es_ES pt_PT it_IT nl_NL da_DK sv_SE nb_NO pl_PL cs_CZ sk_SK hu_HU ro_RO " +
	"bg_BG sr_RS el_GR ru_RU uk_UA et_EE ja_JP ko_KR zh_CN hi_IN")

// postgresLanguages are locales that a server may have messages in. Where one
// is not installed, the server goes on in English.
var postgresLanguages = strings.Fields("C de_DE.UTF-8 es_ES.UTF-8 fr_FR.UTF-8 ja_JP.UTF-8 ru_RU.UTF-8 sv_SE.UTF-8 zh_CN.UTF-8")

// complaints are statements that make a server quote the marker, or what was
// written for it, in error messages.
func complaints(name string) []string {
	const raise = "DO $$ BEGIN RAISE EXCEPTION USING MESSAGE = '%s', ERRCODE = '22P02'; END $$"
	switch name {
	case "PostgreSQL":
		return []string{
			"SELECT '" + logMarker + "'::int", "SELECT '" + logMarker + "'::date", "SELECT '{" + logMarker + "}'::int[]",
			"SELECT to_date('" + logMarker + "', 'YYYY')", "SELECT '" + logMarker + "'::json",
			fmt.Sprintf(raise, "ungültige Eingabesyntax für Typ integer: »"+logMarker+"«"),
			fmt.Sprintf(raise, "la sintaxis de entrada no es válida para tipo integer: «"+logMarker+"»"),
			fmt.Sprintf(raise, "no room for "+logMarker), fmt.Sprintf(raise, "「"+logMarker+"」"),
		}
	case "MariaDB":
		return []string{
			"INSERT INTO books (title, pages) VALUES ('x', '" + logMarker + "')", "SELECT extractvalue('<a/>', '//" + logMarker + "[')",
			"SELECT 1 FROM books WHERE title RLIKE '" + logMarker + "('", "SET @@sql_mode = '" + logMarker + "'",
			"SELECT date_add('1-1-1', INTERVAL '" + logMarker + "'", "SELECT NAME_CONST('a', '" + logMarker + "', 1)",
			"BEGIN NOT ATOMIC SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no room for " + logMarker + "'; END",
			"BEGIN NOT ATOMIC SIGNAL SQLSTATE '22007' SET MESSAGE_TEXT = '„" + logMarker + "“', MYSQL_ERRNO = 1366; END",
		}
	}
	return []string{
		"SELECT json_extract('{}', '" + logMarker + "')", "SELECT json('" + logMarker + "')", "SELECT '" + logMarker + "' LIKE 'a' ESCAPE '" + logMarker + "'",
		"INSERT INTO books (title, pages) VALUES ('" + logMarker + "', 4711)",
	}
}

// TestValuesStayHiddenInEveryLanguage has servers complain of values in all of
// their languages, and looks for them in the log and on the debug page.
func TestValuesStayHiddenInEveryLanguage(t *testing.T) {
	t.Parallel()
	databases := threeDatabases(t)
	for name, url := range map[string]string{
		"PostgreSQL": databases.DatabaseURI, "MariaDB": databases.Binds["auth"].URL, "SQLite": databases.Binds["meta"].URL,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newExtension(t, echobun.Config{DatabaseURI: url}, (*book)(nil))
			ctx, db := newSession(t, x)
			require.NoError(t, x.CreateAll(ctx))
			require.NoError(t, addBook(ctx, db.Bind(""), logMarker))
			onConnect := map[string][]string{"": nil}
			switch name {
			case "MariaDB":
				for _, language := range mariadbLanguages {
					onConnect[language] = []string{"SET lc_messages = '" + language + "'"}
				}
			case "PostgreSQL":
				for _, language := range postgresLanguages {
					onConnect[language] = []string{"DO $$ BEGIN SET lc_messages = '" + language + "'; EXCEPTION WHEN OTHERS THEN NULL; END $$"}
				}
			case "SQLite":
				require.NoError(t, ran(db.NewRaw("CREATE TRIGGER full BEFORE INSERT ON books WHEN NEW.pages = 4711 "+
					"BEGIN SELECT RAISE(ABORT, 'no room for "+logMarker+"'); END").Exec(ctx)))
			}
			for language, statements := range onConnect {
				cfg := echobun.Config{DatabaseURI: url, EngineOptions: echobun.EngineOptions{OnConnect: statements}}
				requireNowhere(t, cfg, language, complaints(name))
			}
		})
	}
}

// requireNowhere sends the complaints in a request.
func requireNowhere(t *testing.T, cfg echobun.Config, language string, complaints []string) {
	t.Helper()
	log := new(logBook)
	cfg.LogStatements, cfg.RecordQueries, cfg.Logger = true, true, log.logger()
	x := newExtension(t, cfg, (*book)(nil))
	e := echo.New()
	e.Use(x.Middleware())
	e.GET("/debug/db", x.DebugHandler())
	e.GET("/:n", func(c echo.Context) error {
		ctx, db := c.Request().Context(), sessionOf(c)
		for _, statement := range complaints {
			err := ran(db.Bind("").ExecContext(ctx, statement))
			require.Error(t, err, "%s: %s", language, statement)
		}
		err := addBook(ctx, db.Bind(""), logMarker)
		require.ErrorIs(t, err, echobun.ErrUnique, language)
		return fmt.Errorf("%w; %w", ran(db.Bind("").ExecContext(ctx, complaints[0])), err)
	})
	request(e, http.MethodGet, "/1")
	records, text := log.take(t)
	require.Len(t, records, len(complaints)+2)
	require.NotContains(t, text, logMarker, language)
	page, _ := debugPage(t, e)
	require.NotContains(t, page, logMarker, language)
	require.NotContains(t, page, "no room")
}
