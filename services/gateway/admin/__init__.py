"""What operators see of everybody, and decide: lists, queues, chat.dead_letters, workflow.deliveries, quotas, reads"""
