package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// A kind is a kind of change.
type kind string

const (
	condition kind = "condition"
	statement kind = "statement"
	constant  kind = "constant"
)

var kinds = []kind{condition, statement, constant}

// A site is a place in the code and what is to stand there instead.
type site struct {
	pkg        string // The package as the go command takes it: "./driver/pgx".
	file       string // Absolute.
	line       int
	start, end int // Bytes of the file.
	kind       kind
	from, to   string
}

// String says where the site is and what becomes of it, in one line.
func (s site) String() string {
	return fmt.Sprintf("%s/%s:%d: %s => %s", s.pkg, filepath.Base(s.file), s.line, short(s.from), short(s.to))
}

// short is s in one line, cut to what fits into one.
func short(s string) string {
	s = string(bytes.Join(bytes.Fields([]byte(s)), []byte(" ")))
	if s == "" {
		return "(nothing)"
	}
	if r := []rune(s); len(r) > 60 {
		return string(r[:57]) + "..."
	}
	return s
}

// findSites lists all changes that are possible in the packages.
func findSites(ctx context.Context, root string, packages []string) ([]site, error) {
	var sites []site
	for _, pkg := range packages {
		files, err := goFiles(ctx, root, pkg)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			found, err := sitesOf(pkg, file)
			if err != nil {
				return nil, err
			}
			sites = append(sites, found...)
		}
	}
	if len(sites) == 0 {
		return nil, fmt.Errorf("nothing to change in %v", packages)
	}
	return sites, nil
}

// goFiles lists the files of a package that are compiled here.
func goFiles(ctx context.Context, root, pkg string) ([]string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-json=Dir,GoFiles", pkg)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", pkg, err)
	}
	var listed struct {
		Dir     string
		GoFiles []string
	}
	if err := json.NewDecoder(bytes.NewReader(out)).Decode(&listed); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("list %s: %w", pkg, err)
	}
	files := make([]string, 0, len(listed.GoFiles))
	for _, name := range listed.GoFiles {
		files = append(files, filepath.Join(listed.Dir, name))
	}
	return files, nil
}

// sitesOf lists the changes that are possible in a file.
func sitesOf(pkg, file string) ([]site, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	f := &finder{pkg: pkg, file: file, text: text, set: set}
	for _, d := range parsed.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
			ast.Inspect(fn.Body, f.visit)
		}
	}
	return f.sites, nil
}

// A finder collects the sites of one file.
type finder struct {
	pkg, file string
	text      []byte
	set       *token.FileSet
	sites     []site
}

// visit adds what can be changed at a node of a function's body.
func (f *finder) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IfStmt:
		f.add(condition, n.Cond, "!("+f.source(n.Cond)+")")
	case *ast.BinaryExpr:
		f.operator(n)
	case *ast.BlockStmt:
		f.statements(n.List)
	case *ast.CaseClause:
		f.statements(n.Body)
	case *ast.CommClause:
		f.statements(n.Body)
	case *ast.BasicLit:
		f.number(n)
	case *ast.Ident:
		f.boolean(n)
	}
	return true
}

// turned is what becomes of an operator: the border moves, or the sense turns.
var turned = map[token.Token]token.Token{
	token.EQL: token.NEQ, token.NEQ: token.EQL,
	token.LSS: token.LEQ, token.LEQ: token.LSS,
	token.GTR: token.GEQ, token.GEQ: token.GTR,
	token.LAND: token.LOR, token.LOR: token.LAND,
}

func (f *finder) operator(n *ast.BinaryExpr) {
	to, ok := turned[n.Op]
	if !ok {
		return
	}
	left, right := f.source(n.X), f.source(n.Y)
	f.add(condition, n, left+" "+to.String()+" "+right)
}

// statements adds the statements of a block that something is left without.
// Declarations and returns are not among them: without them it rarely compiles.
func (f *finder) statements(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.ExprStmt, *ast.IncDecStmt, *ast.DeferStmt, *ast.GoStmt, *ast.SendStmt:
			f.add(statement, s, "")
		case *ast.AssignStmt:
			if s.Tok != token.DEFINE {
				f.add(statement, s, "")
			}
		}
	}
}

func (f *finder) number(n *ast.BasicLit) {
	if n.Kind != token.INT {
		return
	}
	if v, err := strconv.ParseInt(n.Value, 0, 64); err == nil {
		f.add(constant, n, strconv.FormatInt(v+1, 10))
	}
}

func (f *finder) boolean(n *ast.Ident) {
	switch n.Name {
	case "true":
		f.add(constant, n, "false")
	case "false":
		f.add(constant, n, "true")
	}
}

func (f *finder) add(k kind, n ast.Node, to string) {
	start := f.set.Position(n.Pos())
	f.sites = append(f.sites, site{
		pkg: f.pkg, file: f.file, line: start.Line,
		start: start.Offset, end: f.set.Position(n.End()).Offset,
		kind: k, from: f.source(n), to: to,
	})
}

func (f *finder) source(n ast.Node) string {
	return string(f.text[f.set.Position(n.Pos()).Offset:f.set.Position(n.End()).Offset])
}
