DROP FUNCTION gateway.take_posted;
