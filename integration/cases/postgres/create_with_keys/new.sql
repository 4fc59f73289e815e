CREATE TABLE t (up bigint, a varchar(40), id bigint PRIMARY KEY, b int);
