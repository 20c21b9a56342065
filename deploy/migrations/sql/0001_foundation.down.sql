DROP FUNCTION tripthread.protect(regclass, name, text);
DROP FUNCTION tripthread.user_ids();
REVOKE USAGE ON SCHEMA tripthread FROM tripthread_reader, tripthread_admin, tripthread_logger, tripthread_tagger,
    tripthread_workflow, tripthread_gateway;
