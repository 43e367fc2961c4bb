package echobun_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	goBlock  = regexp.MustCompile("(?ms)^```go\n(.*?)^```")
	fileLink = regexp.MustCompile(`\]\(([\w./-]+\.md)(?:#[^)]*)?\)`)
)

// readmeImports are what the pages' fragments may use without saying so.
const readmeImports = `
import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/echobuntest"
)

var (
	_ driver.Conn
	_ slog.Attr
	_ testing.TB
	_ = echobuntest.Isolate
	_ pgx.Identifier
	_ = context.Background
	_ sql.TxOptions
	_ = json.Unmarshal
	_ = errors.Is
	_ = http.StatusOK
	_ = time.Second
	_ echo.Context
	_ echobun.Config
)
`

// readmeScope is what the pages' statements may use without declaring it.
const readmeScope = `
type Post struct {
	ID    int64 ` + "`bun:\",pk\"`" + `
	Title string
}
type User struct {
	ID   int64 ` + "`bun:\",pk\"`" + `
	Name string
}

var AuditLog = &echobun.Table{Name: "audit_log"}

var (
	ext *echobun.Extension
	c   echo.Context
	ctx context.Context
	db  *echobun.Session
	err error
	rows pgx.CopyFromSource
	tx *echobun.Session
	cfg echobun.Config
	e *echo.Echo
	t *testing.T
	transfer func(context.Context, *echobun.Session) error
	createOrder echo.HandlerFunc
	readSecret func(ctx context.Context, name string) (user, password string, err error)
	newServer func(*echobun.Extension) *echo.Echo
)
`

// TestReadmeCompiles builds every Go block of the README and of the pages of
// docs: programs as they are, declarations and statements inside a package of
// their own.
func TestReadmeCompiles(t *testing.T) {
	t.Parallel()

	root, err := os.Getwd()
	require.NoError(t, err)

	dir, replace := t.TempDir(), make(map[string]string)
	for i, page := range readmePages(t) {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for j, block := range goBlock.FindAllStringSubmatch(string(text), -1) {
			name := fmt.Sprintf("page%02d_block%02d", i, j)
			source := "// From " + page + ".\n" + readmeSource(t, page, block[1])
			file := filepath.Join(dir, name+".go")
			require.NoError(t, os.WriteFile(file, []byte(source), 0o600))
			replace[filepath.Join(root, "internal", "readme", name, name+".go")] = file
		}
		require.False(t, i == 0 && len(replace) < 10, "the README's blocks were not found")
	}

	overlay := filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, text, 0o600))

	out, err := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "./internal/readme/...").CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// TestReadmeLeadsToEveryPage finds the pages of docs in the README, and what
// all of them link to among the files.
func TestReadmeLeadsToEveryPage(t *testing.T) {
	t.Parallel()

	pages := readmePages(t)
	readme, err := os.ReadFile(pages[0])
	require.NoError(t, err)
	for _, page := range pages[1:] {
		require.Contains(t, string(readme), "("+filepath.ToSlash(page), "the README does not link to the page")
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, link := range fileLink.FindAllStringSubmatch(string(text), -1) {
			require.FileExists(t, filepath.Join(filepath.Dir(page), link[1]), "%s links to it", page)
		}
	}
}

// readmePages returns the README, and behind it the pages of docs.
func readmePages(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	return append([]string{"README.md"}, pages...)
}

// readmeSource makes a file of a block.
func readmeSource(t *testing.T, page, block string) string {
	t.Helper()
	if strings.HasPrefix(block, "package ") {
		return block
	}
	declarations := "package readme\n" + readmeImports + block
	if _, err := parser.ParseFile(token.NewFileSet(), "", declarations, 0); err == nil {
		return declarations
	}
	statements := "package readme\n" + readmeImports + readmeScope + "\nfunc block() error {\n" + block
	file, err := parser.ParseFile(token.NewFileSet(), "", statements+"\n}", 0)
	require.NoError(t, err, "%s: %s", page, block)
	return statements + use(file) + "\nreturn nil\n}\n"
}

// use returns statements that use what the function block declares.
func use(file *ast.File) string {
	var uses strings.Builder
	ast.Inspect(file, func(n ast.Node) bool {
		body, ok := n.(*ast.FuncDecl)
		if !ok || body.Name.Name != "block" {
			return true
		}
		for _, stmt := range body.Body.List {
			for _, name := range declaredBy(stmt) {
				fmt.Fprintf(&uses, "\n_ = %s", name)
			}
		}
		return false
	})
	return uses.String()
}

func declaredBy(stmt ast.Stmt) []string {
	var names []string
	switch s := stmt.(type) {
	case *ast.AssignStmt:
		for _, left := range s.Lhs {
			if id, ok := left.(*ast.Ident); ok && s.Tok == token.DEFINE && id.Name != "_" {
				names = append(names, id.Name)
			}
		}
	case *ast.DeclStmt:
		ast.Inspect(s, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok {
				for _, id := range spec.Names {
					names = append(names, id.Name)
				}
			}
			return true
		})
	}
	return names
}
