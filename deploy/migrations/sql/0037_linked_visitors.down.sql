DROP TABLE gateway.linked_visitors;
