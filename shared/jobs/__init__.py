"""Work that is due, beside requests and events: by one process for all, with what every such job needs"""
