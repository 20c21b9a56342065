-- chat.traces: which of the services that have the model was asked; none: an older gateway does not say.
ALTER TABLE chat.traces ADD COLUMN upstream text;
