// Package docpages reads the pages of the documentation for the tests that keep them true.
//
// A page's fenced blocks are commands and files that a reader copies. Each has a language, and each language has a test
// that runs it: package main of cmd/faquan runs sh, js, go and sql, and holds all pages to these rules; package catalog
// applies yaml (of operating.md package config loads it); package rule compiles cel. Blocks of text and mermaid are not run.
// Any other block that no test can run says why, in a comment on the line before it:
//
//	<!-- not run: it needs systemd -->
//
// Commands that must fail are announced in the same place, by <!-- exit code 1 -->.
package docpages

import (
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// Page is one file of the documentation.
type Page struct {
	Name string // path from the root of the repository
	Text string
}

// Block is a fenced block of a page.
type Block struct {
	Language string
	Text     string
	Line     int    // of its first line
	Section  string // the nearest heading of the first or second level above it
	NotRun   string // why no test runs it; empty when one must
	ExitCode int    // with which it must end
	Follows  bool   // nothing but white space stands between the block before it and this one
}

// Read returns every page of the repository at root.
func Read(root string) ([]Page, error) {
	var pages []Page
	repository := os.DirFS(root)
	for _, pattern := range []string{"README*.md", "CONTRIBUTING.md", "sdktest/README.md", "docs/*.md", "docs/*/*.md"} {
		names, err := fs.Glob(repository, pattern)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			text, err := fs.ReadFile(repository, name)
			if err != nil {
				return nil, err
			}
			pages = append(pages, Page{Name: name, Text: string(text)})
		}
	}
	return pages, nil
}

var (
	heading  = regexp.MustCompile(`^#{1,2} (.*)`)
	notRun   = regexp.MustCompile(`^<!-- not run: (.+) -->$`)
	exitCode = regexp.MustCompile(`^<!-- exit code (\d+) -->$`)
)

// Blocks returns the fenced blocks of a page, and its text without them. A fence that is never closed is an error.
func (p Page) Blocks() (blocks []Block, prose string, err error) {
	var (
		open    *Block
		section string
		next    Block // what is known of the next block
		text    strings.Builder
		follows bool
	)
	for k, line := range strings.Split(p.Text, "\n") {
		language, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open == nil:
			next.Language, next.Line, next.Section, next.Follows = language, k+2, section, follows
			open = &next
		case fence:
			blocks = append(blocks, *open)
			open, next, follows = nil, Block{}, true
		case open != nil:
			open.Text += line + "\n"
		default:
			text.WriteString(line + "\n")
			if m := heading.FindStringSubmatch(line); m != nil {
				section = m[1]
			}
			next = Block{}
			if m := notRun.FindStringSubmatch(line); m != nil {
				next.NotRun = m[1]
			}
			if m := exitCode.FindStringSubmatch(line); m != nil {
				if next.ExitCode, err = strconv.Atoi(m[1]); err != nil {
					return nil, "", fmt.Errorf("%s:%d: %w", p.Name, k+1, err)
				}
			}
			follows = follows && strings.TrimSpace(line) == ""
		}
	}
	if open != nil {
		return nil, "", fmt.Errorf("%s:%d: the block is never closed", p.Name, open.Line)
	}
	return blocks, text.String(), nil
}
