module sidegate.dev/cluster/pause

go 1.26.0
