package postgres

import (
	"fmt"
	"io/fs"
	"strings"
	"testing/fstest"

	"faquan/internal/table"
)

// Partitioned returns options that make each table that grows in n partitions by its bucket; 0 leaves them whole.
func Partitioned(o Options, n int) Options {
	o.changeTables = func(files fs.FS) (fs.FS, func(*table.Kind) string) {
		all := fstest.MapFS{}
		names, err := fs.Glob(files, "*.sql")
		if err != nil {
			panic(err)
		}
		for _, name := range names {
			text, err := fs.ReadFile(files, name)
			if err != nil {
				panic(err)
			}
			all[name] = &fstest.MapFile{Data: []byte(cut(string(text), n))}
		}
		return all, func(kind *table.Kind) string { return cut(createTable(kind), n) }
	}
	return o
}

// cut cuts the tables that grow, among those that the text creates, into n partitions; 0 leaves them whole.
func cut(text string, n int) string {
	if n == 0 {
		return text
	}
	var b strings.Builder
	for k, part := range strings.SplitAfter(text, "CREATE TABLE ") {
		table, _, _ := strings.Cut(part, " ")
		body, rest, grows := strings.Cut(part, distributed+";")
		if k == 0 || !grows {
			b.WriteString(part)
			continue
		}
		b.WriteString(body + "PARTITION BY HASH (bucket);\n")
		for at := range n {
			fmt.Fprintf(&b, "CREATE TABLE %s_p%d PARTITION OF %s FOR VALUES WITH (MODULUS %d, REMAINDER %d);\n", table, at, table, n, at)
		}
		b.WriteString(rest)
	}
	return b.String()
}
