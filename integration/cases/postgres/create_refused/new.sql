CREATE TABLE t (k int PRIMARY KEY, note text, found text);
