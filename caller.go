package echobun

import (
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
)

// callerDepth is how many frames are searched for the application's.
const callerDepth = 64

// libraries are what stands between the application and a statement: the
// beginnings of their functions' names.
var libraries = []string{
	"github.com/echobun/echobun.",
	"github.com/echobun/echobun/driver",
	"github.com/echobun/echobun/internal/",
	"github.com/echobun/echobun/echobuntest.",
	"github.com/echobun/echobun/otelechobun.",
	"github.com/uptrace/bun.",
	"github.com/uptrace/bun/",
	"github.com/labstack/echo/",
	"database/sql.",
	"net/http.",
	"runtime.",
	"context.",
	"sync.",
}

// libraryFiles are parts of the paths of their files. A function literal that
// was inlined has the name of the application's function that it is now in.
var libraryFiles = []string{
	"github.com/echobun/echobun@",
	"github.com/uptrace/bun@",
	"github.com/uptrace/bun/",
	"github.com/labstack/echo/",
}

// caller returns the innermost line of the application on this goroutine's
// stack, as "file:line", or "". What an atomic request commits for is its
// answer: whoever writes that for the application, an encoder or a template,
// is not meant, be it the standard library's or another module's.
func caller() string {
	var pcs [callerDepth]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	var writer string
	for answering := false; ; {
		frame, more := frames.Next()
		answering = answering || strings.HasPrefix(frame.Function, answers)
		switch {
		case frame.Function == "", inLibrary(frame.Function, frame.File):
		case !answering || !isDependency(frame.File):
			return fmt.Sprintf("%s:%d", frame.File, frame.Line)
		case writer == "":
			writer = fmt.Sprintf("%s:%d", frame.File, frame.Line)
		}
		if !more {
			return writer
		}
	}
}

// answers is how the methods of what an atomic request answers through begin.
const answers = "github.com/echobun/echobun/internal/response.(*Atomic)."

// isDependency reports whether a file is one of a module with a version.
func isDependency(file string) bool {
	return strings.Contains(file, "@v") || strings.Contains(file, "/vendor/")
}

// standardFiles is where the standard library lies, with a slash at its end.
// It is empty if the program was built with -trimpath.
var standardFiles = func() string {
	f := runtime.FuncForPC(reflect.ValueOf(strings.Cut).Pointer())
	file, _ := f.FileLine(f.Entry())
	return strings.TrimSuffix(file, "strings/strings.go")
}()

// writers are the packages of the standard library that write answers, for
// programs whose files do not tell.
var writers = []string{
	"bufio.", "bytes.", "compress/", "encoding/", "fmt.", "html/template.", "io.", "log.", "log/slog", "mime/", "strings.", "text/", "reflect.",
}

// isStandard reports whether a function is the standard library's, which lies in root.
func isStandard(root, function, file string) bool {
	if root == "" {
		return hasPrefix(function, writers)
	}
	return strings.HasPrefix(file, root)
}

// inLibrary reports whether a function is not the application's.
func inLibrary(function, file string) bool {
	return isStandard(standardFiles, function, file) || hasPrefix(function, libraries) && !isTest(function) ||
		slices.ContainsFunc(libraryFiles, func(part string) bool { return strings.Contains(file, part) })
}

// isTest reports whether a function is of a package of tests below our own path,
// which is an application like any other.
func isTest(function string) bool {
	rest, below := strings.CutPrefix(function, "github.com/echobun/echobun/")
	pkg, _, _ := strings.Cut(rest, ".")
	return below && strings.HasSuffix(pkg, "_test")
}

func hasPrefix(s string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(s, prefix) })
}
