"""What could not be processed and what was posted: chat.dead_letters, workflow.deliveries, and what operators decide"""
