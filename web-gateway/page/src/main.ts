import 'element-plus/dist/index.css';
import 'element-plus/theme-chalk/dark/css-vars.css';
import '@/app.css';
import { createApp } from 'vue';
import App from '@/App.vue';
import { whenSignedOut } from '@/api/call';
import { router } from '@/router';
import { session } from '@/state/session';

whenSignedOut(() => {
  if (!session.user) return;
  session.user = null;
  void router.push({ path: '/sign-in', query: { next: router.currentRoute.value.fullPath, why: 'ended' } });
});
createApp(App).use(router).mount('#app');
